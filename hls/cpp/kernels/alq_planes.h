#ifndef ALQ_PLANES_H_
#define ALQ_PLANES_H_

#include "alq_requantise.h"
#include "alq_types.h"

namespace alq {

// One plane of the plane table: a coordinate and the group of weights whose signs it scales.
// `starts` and `ends` mark the first and the last plane of a filter.
struct plane {
    unsigned short group;
    bool starts;
    bool ends;
    unsigned coordinate;
    long long bias; // of the filter, taken up where `starts` is set
};

// Where a filter's result waits: which engine computed it, and how many results that engine gave after it.
struct seat {
    unsigned short engine;
    unsigned short position;
};

// Sizes and formats of a plane layer (a convolution over time; a dense layer is one whose taps span its input).
// The generated configuration of every layer derives from this and sets all of them.
struct plane_config {
    static const unsigned in_length = 1;    // time steps that enter
    static const unsigned out_length = 1;   // time steps that leave
    static const unsigned n_channels = 1;   // channels that enter, all of one time step in one beat
    static const unsigned n_filters = 1;    // channels that leave
    static const unsigned n_taps = 1;       // time steps that one output sees
    static const unsigned dilation = 1;     // time steps between two taps
    static const unsigned n_span = 1;       // time steps from the first tap to the last one
    static const unsigned n_fan = 1;        // channels that one filter sees: n_channels / channel groups
    static const unsigned stride = 1;       // time steps between two outputs
    static const unsigned pad_left = 0;     // zeros before the first time step
    static const bool kernelwise = false;   // group = one channel's taps; otherwise a run of weights, channel fastest
    static const unsigned run_groups = 1;   // groups per filter
    static const unsigned n_groups = 1;     // groups of all channel groups, one after the other
    static const unsigned group_size = 1;   // weights per group
    static const unsigned unit = 1;         // weights of one beat that always belong to one group
    static const unsigned n_engines = 1;    // plane engines side by side
    static const unsigned n_lanes = 1;      // weights that an engine takes per clock cycle
    static const unsigned n_chunks = 1;     // clock cycles of one plane: ceil(group_size / n_lanes)
    static const unsigned n_slots = 1;      // planes of the engine that has most of them
    static const unsigned n_seats = 1;      // filters of the engine that has most of them
    static const bool in_signed = true;     // input format
    static const int in_bits = 8;           //
    static const int sum_bits = 16;         // of a group's sum, with sign
    static const int coordinate_bits = 8;   //
    static const int accumulator_bits = 32; // derived with the layer's weights, see the number contract
    static const bool logits = false;       // the accumulators leave as they are
    static const bool out_signed = false;   // output format after requantisation; unsigned: with ReLU
    static const int out_bits = 8;          //
    static const int shift = 0;             // accumulator bits that requantisation drops
};

// The types of a plane layer.
template <typename CONFIG_T> struct plane_types {
    typedef typename integer<true, CONFIG_T::sum_bits>::type sum_t;
    typedef typename integer<CONFIG_T::in_signed, CONFIG_T::in_bits, CONFIG_T::sum_bits>::type sample_t;
    // The host type is as wide as the product that the coordinate goes into.
    typedef typename integer<false, CONFIG_T::coordinate_bits, CONFIG_T::accumulator_bits>::type coordinate_t;
    typedef typename integer<true, CONFIG_T::accumulator_bits>::type accumulator_t;
    typedef requantise<CONFIG_T::out_bits, CONFIG_T::accumulator_bits, CONFIG_T::shift, CONFIG_T::out_signed>
        requantise_t;
};

// What leaves an engine: the requantised accumulator, or the accumulator itself.
template <typename CONFIG_T, bool LOGITS> struct finish {
    static const bool is_signed = CONFIG_T::out_signed;
    typedef typename plane_types<CONFIG_T>::requantise_t::result_t result_t;
    static result_t apply(typename plane_types<CONFIG_T>::accumulator_t accumulator) {
#pragma HLS INLINE
        return plane_types<CONFIG_T>::requantise_t::apply(accumulator);
    }
};
template <typename CONFIG_T> struct finish<CONFIG_T, true> {
    static const bool is_signed = true;
    typedef typename plane_types<CONFIG_T>::accumulator_t result_t;
    static result_t apply(result_t accumulator) {
#pragma HLS INLINE
        return accumulator;
    }
};

// The last n_span time steps of a layer's input, and the sums of its units (weights of one beat that always share a
// group), from which every group's sum is a few additions instead of one per weight.
template <typename CONFIG_T> struct line_buffer {
    typedef typename plane_types<CONFIG_T>::sample_t sample_t;
    typedef typename plane_types<CONFIG_T>::sum_t sum_t;
    static const unsigned n_held = CONFIG_T::n_span * CONFIG_T::n_channels;
    static const unsigned units_per_beat = CONFIG_T::n_channels / CONFIG_T::unit;
    static const unsigned n_units = CONFIG_T::n_span * units_per_beat;
    static const unsigned n_rows = CONFIG_T::n_groups * CONFIG_T::n_chunks;
    // Time steps of the padded input; the last output step may look for up to n_span + stride more.
    static const unsigned n_positions = CONFIG_T::pad_left + CONFIG_T::in_length;
    typedef typename counter<n_positions + CONFIG_T::out_length * CONFIG_T::stride + CONFIG_T::n_span>::type position_t;

    // The oldest time step leaves, `newest` enters: one clock cycle of a shift register per channel.
    // Samples are in the order time step * n_channels + channel, the oldest first.
    static void shift(sample_t samples[n_held], sum_t unit_sums[n_units], const sample_t newest[CONFIG_T::n_channels]) {
#pragma HLS INLINE
    Shift_samples:
        for (unsigned i = 0; i + CONFIG_T::n_channels < n_held; i++) {
#pragma HLS UNROLL
            samples[i] = samples[i + CONFIG_T::n_channels];
        }
    Take_samples:
        for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
#pragma HLS UNROLL
            samples[n_held - CONFIG_T::n_channels + channel] = newest[channel];
        }
    Shift_sums:
        for (unsigned u = 0; u + units_per_beat < n_units; u++) {
#pragma HLS UNROLL
            unit_sums[u] = unit_sums[u + units_per_beat];
        }
    Take_sums:
        for (unsigned u = 0; u < units_per_beat; u++) {
#pragma HLS UNROLL
            sum_t sum = 0;
            for (unsigned i = 0; i < CONFIG_T::unit; i++) {
#pragma HLS UNROLL
                sum = sum + newest[u * CONFIG_T::unit + i];
            }
            unit_sums[n_units - units_per_beat + u] = sum;
        }
    }

    // Takes the next time step: from the stream inside the frame, zeros in the padding. `position` counts time steps of
    // the padded input.
    template <class data_T>
    static void take(hls::stream<data_T> &data, sample_t samples[n_held], sum_t unit_sums[n_units],
                     position_t &position) {
#pragma HLS INLINE
        sample_t newest[CONFIG_T::n_channels];
#pragma HLS ARRAY_PARTITION variable = newest complete
        clear(newest);
        if (position >= CONFIG_T::pad_left && position < n_positions) {
            const data_T beat = data.read();
            ALQ_PACKED(beat)
        Unpack:
            for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
#pragma HLS UNROLL
                newest[channel] = sample_t(raw<CONFIG_T::in_signed, CONFIG_T::in_bits>::of(beat[channel]));
            }
        }
        shift(samples, unit_sums, newest);
        position++;
    }

    // Copies the samples to where the engines read them, one row per group and chunk, so that the line buffer is free
    // to take the next time steps while the engines still work on these: wires and registers, no multiplexer.
    static void latch(const sample_t samples[n_held], const sum_t unit_sums[n_units],
                      sample_t window[n_rows][CONFIG_T::n_lanes], sum_t totals[CONFIG_T::n_groups]) {
#pragma HLS INLINE
    Latch_groups:
        for (unsigned group = 0; group < CONFIG_T::n_groups; group++) {
#pragma HLS UNROLL
            for (unsigned chunk = 0; chunk < CONFIG_T::n_chunks; chunk++) {
#pragma HLS UNROLL
                for (unsigned lane = 0; lane < CONFIG_T::n_lanes; lane++) {
#pragma HLS UNROLL
                    const unsigned weight = chunk * CONFIG_T::n_lanes + lane;
                    if (weight < CONFIG_T::group_size) {
                        const unsigned run = group / CONFIG_T::run_groups, own = group % CONFIG_T::run_groups;
                        const unsigned place = own * CONFIG_T::group_size + weight; // tap * n_fan + channel
                        const unsigned tap = CONFIG_T::kernelwise ? weight : place / CONFIG_T::n_fan;
                        const unsigned channel = CONFIG_T::kernelwise ? own : place % CONFIG_T::n_fan;
                        window[group * CONFIG_T::n_chunks + chunk][lane] =
                            samples[tap * CONFIG_T::dilation * CONFIG_T::n_channels + run * CONFIG_T::n_fan + channel];
                    }
                }
            }
            totals[group] = 0;
        }
    Latch_totals:
        for (unsigned tap = 0; tap < CONFIG_T::n_taps; tap++) {
#pragma HLS UNROLL
            for (unsigned u = 0; u < units_per_beat; u++) {
#pragma HLS UNROLL
                const unsigned run = u * CONFIG_T::unit / CONFIG_T::n_fan,
                               channel = u * CONFIG_T::unit % CONFIG_T::n_fan;
                const unsigned own =
                    CONFIG_T::kernelwise ? channel : (tap * CONFIG_T::n_fan + channel) / CONFIG_T::group_size;
                const unsigned group = run * CONFIG_T::run_groups + own;
                totals[group] = totals[group] + unit_sums[tap * CONFIG_T::dilation * units_per_beat + u];
            }
        }
    }
};

// One clock cycle of all plane engines of a layer: every engine adds up the samples of its chunk whose sign is +1.
//
// With signs b in {0, 1}, sum of +-x = 2 * (sum of x where b = 1) - (sum of all x). The second sum is the same for all
// planes of a group, so a lane is one AND and one adder and needs no negation. At the end of a plane the one multiplier
// of the engine applies the coordinate; at the end of a filter the result leaves by way of the requantiser.
template <typename CONFIG_T>
void engines_cycle(
    const typename plane_types<CONFIG_T>::sample_t window[CONFIG_T::n_groups * CONFIG_T::n_chunks][CONFIG_T::n_lanes],
    const typename plane_types<CONFIG_T>::sum_t totals[CONFIG_T::n_groups],
    const sign signs[CONFIG_T::n_engines][CONFIG_T::n_slots * CONFIG_T::n_chunks][CONFIG_T::n_lanes],
    const plane planes[CONFIG_T::n_engines][CONFIG_T::n_slots], unsigned slot, unsigned chunk, unsigned word,
    typename plane_types<CONFIG_T>::sum_t sums[CONFIG_T::n_engines],
    typename plane_types<CONFIG_T>::accumulator_t accumulators[CONFIG_T::n_engines],
    typename finish<CONFIG_T, CONFIG_T::logits>::result_t results[CONFIG_T::n_engines][CONFIG_T::n_seats]) {
#pragma HLS INLINE
    typedef typename plane_types<CONFIG_T>::sample_t sample_t;
    typedef typename plane_types<CONFIG_T>::sum_t sum_t;
    typedef typename plane_types<CONFIG_T>::accumulator_t accumulator_t;
    typedef typename plane_types<CONFIG_T>::coordinate_t coordinate_t;

// All engines work in the same clock cycle, each on its own plane, from its own memories.
Engines:
    for (unsigned engine = 0; engine < CONFIG_T::n_engines; engine++) {
#pragma HLS UNROLL
        const plane now = planes[engine][slot];
        // With one group all engines read the same row: one multiplexer for the layer instead of one per engine.
        const unsigned group = CONFIG_T::n_groups == 1 ? 0 : now.group;
        const unsigned row = group * CONFIG_T::n_chunks + chunk;

        // n_lanes AND gates and a balanced adder tree, pipelined by the scheduler.
        sum_t masked = 0;
    Lanes:
        for (unsigned lane = 0; lane < CONFIG_T::n_lanes; lane++) {
#pragma HLS UNROLL
            masked = masked + sum_t(window[row][lane] & sample_t(-sample_t(signs[engine][word][lane])));
        }
        const sum_t sum = chunk == 0 ? masked : sum_t(sums[engine] + masked);
        sums[engine] = sum;

        if (chunk == CONFIG_T::n_chunks - 1) {
            const sum_t signed_sum = 2 * sum - totals[group];
            const accumulator_t product = coordinate_t(now.coordinate) * signed_sum;
            // The only loop-carried path of the layer is this addition, so one plane per cycle is possible.
            const accumulator_t before = now.starts ? accumulator_t(now.bias) : accumulators[engine];
            const accumulator_t accumulator = before + product;
            accumulators[engine] = accumulator;
            if (now.ends) {
                // Results move up like a queue: no address decoder in front of the result registers.
            Seats:
                for (unsigned position = CONFIG_T::n_seats - 1; position > 0; position--) {
#pragma HLS UNROLL
                    results[engine][position] = results[engine][position - 1];
                }
                results[engine][0] = finish<CONFIG_T, CONFIG_T::logits>::apply(accumulator);
            }
        }
    }
}

// Convolution with sign planes, one beat of all channels per time step in and one beat of all filters out.
//
// One loop nest without a pause: while the engines walk through the planes of one output step, the line buffer takes
// the input of the next. An output step costs max(stride, n_slots * n_chunks) clock cycles.
template <class data_T, class res_T, typename CONFIG_T>
void plane_convolution(hls::stream<data_T> &data, hls::stream<res_T> &res,
                       const sign signs[CONFIG_T::n_engines][CONFIG_T::n_slots * CONFIG_T::n_chunks][CONFIG_T::n_lanes],
                       const plane planes[CONFIG_T::n_engines][CONFIG_T::n_slots],
                       const seat seats[CONFIG_T::n_filters]) {
    typedef line_buffer<CONFIG_T> line;
    typedef typename plane_types<CONFIG_T>::sample_t sample_t;
    typedef typename plane_types<CONFIG_T>::sum_t sum_t;
    typedef typename plane_types<CONFIG_T>::accumulator_t accumulator_t;
    typedef finish<CONFIG_T, CONFIG_T::logits> finish_t;

// Sign words: one memory per engine, block or LUT by its size, one word of n_lanes bits per clock cycle.
#pragma HLS ARRAY_PARTITION variable = signs complete dim = 1
#pragma HLS ARRAY_RESHAPE variable = signs complete dim = 3
// Plane table: one memory per engine, one plane per word.
#pragma HLS ARRAY_PARTITION variable = planes complete dim = 1
// Constants known to the compiler: the order of the results becomes wiring.
#pragma HLS ARRAY_PARTITION variable = seats complete

    // Everything that is read or written in one clock cycle sits in registers.
    sample_t samples[line::n_held];
#pragma HLS ARRAY_PARTITION variable = samples complete
    sum_t unit_sums[line::n_units];
#pragma HLS ARRAY_PARTITION variable = unit_sums complete
    sample_t window[line::n_rows][CONFIG_T::n_lanes];
#pragma HLS ARRAY_PARTITION variable = window complete dim = 0
    sum_t totals[CONFIG_T::n_groups];
#pragma HLS ARRAY_PARTITION variable = totals complete
    sum_t sums[CONFIG_T::n_engines];
#pragma HLS ARRAY_PARTITION variable = sums complete
    accumulator_t accumulators[CONFIG_T::n_engines];
#pragma HLS ARRAY_PARTITION variable = accumulators complete
    typename finish_t::result_t results[CONFIG_T::n_engines][CONFIG_T::n_seats];
#pragma HLS ARRAY_PARTITION variable = results complete dim = 0

    // Zeros on the left are what a cleared line buffer holds, so they cost no cycle.
    const unsigned skipped = CONFIG_T::pad_left < CONFIG_T::n_span ? CONFIG_T::pad_left : CONFIG_T::n_span;
    typename line::position_t position = skipped; // in the padded input, of the time step that enters next
    clear(samples);
    clear(unit_sums);
    clear(window);
    clear(sums);
    clear(accumulators);
    clear(results);

// One time step per clock cycle until the first output can start.
Fill:
    for (unsigned tap = skipped; tap < CONFIG_T::n_span; tap++) {
#pragma HLS PIPELINE II = 1
        line::take(data, samples, unit_sums, position);
    }
    line::latch(samples, unit_sums, window, totals);

    // Clock cycle within the output step, which is also the address of its sign word.
    typename counter<CONFIG_T::n_slots * CONFIG_T::n_chunks>::type cycle = 0;
// The three loops flatten into one that starts a chunk in every engine each clock cycle.
Steps:
    for (unsigned step = 0; step < CONFIG_T::out_length; step++) {
    Slots:
        for (unsigned slot = 0; slot < CONFIG_T::n_slots; slot++) {
        Chunks:
            for (unsigned chunk = 0; chunk < CONFIG_T::n_chunks; chunk++) {
#pragma HLS PIPELINE II = 1
                if (cycle < CONFIG_T::stride)
                    line::take(data, samples, unit_sums, position);
                engines_cycle<CONFIG_T>(window, totals, signs, planes, slot, chunk, cycle, sums, accumulators, results);
                cycle++;
                if (slot == CONFIG_T::n_slots - 1 && chunk == CONFIG_T::n_chunks - 1) {
                    cycle = 0;
                    res_T beat;
                    ALQ_PACKED(beat)
                Pack:
                    for (unsigned filter = 0; filter < CONFIG_T::n_filters; filter++) {
#pragma HLS UNROLL
                        beat[filter] =
                            from_raw<typename res_T::value_type>(results[seats[filter].engine][seats[filter].position]);
                    }
                    res.write(beat);
                    line::latch(samples, unit_sums, window, totals);
                }
            }
        }
    }
    trace<res_T, finish_t::is_signed, CONFIG_T::out_bits>(res, CONFIG_T::out_length);
}

// The same layer with arrays instead of streams (io_parallel, small layers): the caller's PIPELINE unrolls all of it.
template <class data_T, class res_T, typename CONFIG_T>
void plane_convolution(data_T data[CONFIG_T::in_length * CONFIG_T::n_channels],
                       res_T res[CONFIG_T::out_length * CONFIG_T::n_filters],
                       const sign signs[CONFIG_T::n_engines][CONFIG_T::n_slots * CONFIG_T::n_chunks][CONFIG_T::n_lanes],
                       const plane planes[CONFIG_T::n_engines][CONFIG_T::n_slots],
                       const seat seats[CONFIG_T::n_filters]) {
    typedef line_buffer<CONFIG_T> line;
    typedef typename plane_types<CONFIG_T>::sample_t sample_t;
    typedef typename plane_types<CONFIG_T>::sum_t sum_t;
    typedef finish<CONFIG_T, CONFIG_T::logits> finish_t;

Steps:
    for (unsigned step = 0; step < CONFIG_T::out_length; step++) {
        sample_t samples[line::n_held];
        sum_t unit_sums[line::n_units];
        sample_t window[line::n_rows][CONFIG_T::n_lanes];
        sum_t totals[CONFIG_T::n_groups];
        sum_t sums[CONFIG_T::n_engines];
        typename plane_types<CONFIG_T>::accumulator_t accumulators[CONFIG_T::n_engines];
        typename finish_t::result_t results[CONFIG_T::n_engines][CONFIG_T::n_seats];
        clear(samples);
        clear(unit_sums);
        clear(window);
        clear(sums);
        clear(accumulators);
        clear(results);
    Fill:
        for (unsigned tap = 0; tap < CONFIG_T::n_span; tap++) {
            const unsigned position = step * CONFIG_T::stride + tap;
            sample_t newest[CONFIG_T::n_channels];
            for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
                newest[channel] = 0;
                if (position >= CONFIG_T::pad_left && position < CONFIG_T::pad_left + CONFIG_T::in_length)
                    newest[channel] = sample_t(raw<CONFIG_T::in_signed, CONFIG_T::in_bits>::of(
                        data[(position - CONFIG_T::pad_left) * CONFIG_T::n_channels + channel]));
            }
            line::shift(samples, unit_sums, newest);
        }
        line::latch(samples, unit_sums, window, totals);
    Slots:
        for (unsigned slot = 0; slot < CONFIG_T::n_slots; slot++)
            for (unsigned chunk = 0; chunk < CONFIG_T::n_chunks; chunk++)
                engines_cycle<CONFIG_T>(window, totals, signs, planes, slot, chunk, slot * CONFIG_T::n_chunks + chunk,
                                        sums, accumulators, results);
    Pack:
        for (unsigned filter = 0; filter < CONFIG_T::n_filters; filter++)
            res[step * CONFIG_T::n_filters + filter] =
                from_raw<res_T>(results[seats[filter].engine][seats[filter].position]);
    }
    trace<res_T, finish_t::is_signed, CONFIG_T::out_bits>(res, CONFIG_T::out_length * CONFIG_T::n_filters);
}

} // namespace alq

#endif
