#ifndef ALQ_POOLING_H_
#define ALQ_POOLING_H_

#include "alq_types.h"

namespace alq {

// Sizes and formats of a pooling layer; the generated configuration of every layer derives from this.
struct pool_config {
    static const unsigned in_length = 1;  // time steps that enter
    static const unsigned out_length = 1; // time steps that leave
    static const unsigned n_channels = 1; // channels of one beat
    static const unsigned size = 1;       // time steps under one maximum or sum
    static const unsigned stride = 1;     // time steps between two of them
    static const unsigned pad_left = 0;   // time steps before the first one: zeros, or what never is the maximum
    static const unsigned pad_right = 0;  // time steps behind the last one
    static const bool maximum = true;     // maximum, or sum
    static const bool in_signed = false;  // input format
    static const int in_bits = 8;         //
    static const int out_bits = 8;        // of a sum; a maximum keeps its input's format
};

// What a time step brings in the padding: the lowest integer for a maximum, nothing for a sum.
template <typename CONFIG_T> struct pool_types {
    typedef typename integer<CONFIG_T::in_signed, CONFIG_T::out_bits>::type value_t;
    static value_t padding() {
#pragma HLS INLINE
        return CONFIG_T::maximum && CONFIG_T::in_signed ? value_t(-(value_t(1) << (CONFIG_T::in_bits - 2)) * 2)
                                                        : value_t(0);
    }
    // A window's value after one more time step.
    static value_t after(value_t window, value_t value) {
#pragma HLS INLINE
        if (CONFIG_T::maximum)
            return value > window ? value : window;
        return value_t(window + value);
    }
};

// Maximum or sum over `size` time steps every `stride` steps; windows may overlap or leave gaps.
//
// One comparator (or adder) per channel and open window: ceil(size / stride) running values instead of a buffer of
// `size` steps. A beat enters every clock cycle.
template <class data_T, class res_T, typename CONFIG_T> void pool(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef pool_types<CONFIG_T> types;
    typedef typename types::value_t value_t;
    static const unsigned n_open = (CONFIG_T::size - 1) / CONFIG_T::stride + 1;
    static const unsigned closing = (CONFIG_T::size - 1) % CONFIG_T::stride; // phase in which the oldest window ends
    static const unsigned n_steps = CONFIG_T::pad_left + CONFIG_T::in_length + CONFIG_T::pad_right;

    value_t open[n_open][CONFIG_T::n_channels];
#pragma HLS ARRAY_PARTITION variable = open complete dim = 0
    clear(open);
    typename counter<CONFIG_T::stride>::type phase = 0; // time steps since the newest window opened
    typename counter<n_open>::type started = 0;         // windows opened so far, up to n_open

Steps:
    for (unsigned step = 0; step < n_steps; step++) {
#pragma HLS PIPELINE II = 1
        const bool inside = step >= CONFIG_T::pad_left && step < CONFIG_T::pad_left + CONFIG_T::in_length;
        data_T beat;
        ALQ_PACKED(beat)
        if (inside)
            beat = data.read();
        res_T out;
        ALQ_PACKED(out)
        if (phase == 0 && started < n_open)
            started++;
    Channels:
        for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
#pragma HLS UNROLL
            value_t value = types::padding();
            if (inside)
                value = value_t(raw<CONFIG_T::in_signed, CONFIG_T::in_bits>::of(beat[channel]));
            if (phase == 0) {
                for (unsigned window = n_open - 1; window > 0; window--) {
#pragma HLS UNROLL
                    open[window][channel] = open[window - 1][channel];
                }
                open[0][channel] = CONFIG_T::maximum ? value : value_t(0);
            }
            for (unsigned window = 0; window < n_open; window++) {
#pragma HLS UNROLL
                open[window][channel] = types::after(open[window][channel], value);
            }
            out[channel] = from_raw<typename res_T::value_type>(open[n_open - 1][channel]);
        }
        if (phase == closing && started == n_open)
            res.write(out);
        phase++;
        if (phase == CONFIG_T::stride)
            phase = 0;
    }
    trace<res_T, CONFIG_T::in_signed, CONFIG_T::out_bits>(res, CONFIG_T::out_length);
}

// The same layer with arrays instead of streams (io_parallel).
template <class data_T, class res_T, typename CONFIG_T>
void pool(data_T data[CONFIG_T::in_length * CONFIG_T::n_channels],
          res_T res[CONFIG_T::out_length * CONFIG_T::n_channels]) {
    typedef pool_types<CONFIG_T> types;
    typedef typename types::value_t value_t;
Steps:
    for (unsigned step = 0; step < CONFIG_T::out_length; step++)
        for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
            value_t window = types::padding();
            for (unsigned i = 0; i < CONFIG_T::size; i++) {
                const unsigned at = step * CONFIG_T::stride + i; // in the padded input
                if (at >= CONFIG_T::pad_left && at < CONFIG_T::pad_left + CONFIG_T::in_length) {
                    const data_T &sample = data[(at - CONFIG_T::pad_left) * CONFIG_T::n_channels + channel];
                    window = types::after(window, value_t(raw<CONFIG_T::in_signed, CONFIG_T::in_bits>::of(sample)));
                }
            }
            res[step * CONFIG_T::n_channels + channel] = from_raw<res_T>(window);
        }
    trace<res_T, CONFIG_T::in_signed, CONFIG_T::out_bits>(res, CONFIG_T::out_length * CONFIG_T::n_channels);
}

// Sum over all time steps, one beat out per frame. A beat enters every clock cycle.
template <class data_T, class res_T, typename CONFIG_T>
void time_sum(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef typename integer<CONFIG_T::in_signed, CONFIG_T::out_bits>::type sum_t;
    sum_t sums[CONFIG_T::n_channels];
#pragma HLS ARRAY_PARTITION variable = sums complete
    clear(sums);

Steps:
    for (unsigned step = 0; step < CONFIG_T::in_length; step++) {
#pragma HLS PIPELINE II = 1
        const data_T beat = data.read();
        ALQ_PACKED(beat)
        for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
#pragma HLS UNROLL
            sums[channel] = sums[channel] + sum_t(raw<CONFIG_T::in_signed, CONFIG_T::in_bits>::of(beat[channel]));
        }
    }
    res_T out;
    ALQ_PACKED(out)
    for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
#pragma HLS UNROLL
        out[channel] = from_raw<typename res_T::value_type>(sums[channel]);
    }
    res.write(out);
    trace<res_T, CONFIG_T::in_signed, CONFIG_T::out_bits>(res, 1);
}

// The same layer with arrays instead of streams (io_parallel).
template <class data_T, class res_T, typename CONFIG_T>
void time_sum(data_T data[CONFIG_T::in_length * CONFIG_T::n_channels], res_T res[CONFIG_T::n_channels]) {
Channels:
    for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
        res_T sum = 0;
        for (unsigned step = 0; step < CONFIG_T::in_length; step++)
            sum = sum + data[step * CONFIG_T::n_channels + channel];
        res[channel] = sum;
    }
    trace<res_T, CONFIG_T::in_signed, CONFIG_T::out_bits>(res, CONFIG_T::n_channels);
}

} // namespace alq

#endif
