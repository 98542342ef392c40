#ifndef ALQ_JOINING_H_
#define ALQ_JOINING_H_

#include "alq_requantise.h"
#include "alq_types.h"

namespace alq {

// Sizes and formats of layers that take time steps as they come; the generated configurations derive from this.
struct joining_config {
    static const unsigned in_length = 1;  // time steps that enter, from every source
    static const unsigned n_channels = 1; // channels that leave
    static const int fraction = 0;        // binary places of what leaves, the most of all sources
    static const bool in_signed = true;   // of an activation's input
    static const int in_bits = 8;         //
    static const bool out_signed = true;  // output format
    static const int out_bits = 8;        //
    static const int shift = 0;           // bits that an activation drops
};

// Whether a fixed-point type has a sign.
template <class T> struct has_sign {
    static const bool value = true;
};
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct has_sign<ap_ufixed<W, I, Q, O, N>> {
    static const bool value = false;
};

// The integer of a value with FRACTION binary places: zeros are appended, nothing is rounded.
template <class wide_T, int FRACTION, class value_T> wide_T aligned(const value_T &value) {
#pragma HLS INLINE
    static const int append = FRACTION - (value_T::width - value_T::iwidth);
    const wide_T integer = wide_T(raw<has_sign<value_T>::value, value_T::width>::of(value));
    return wide_T(integer * (wide_T(1) << append));
}

// Sum of one channel of several beats.
template <class wide_T, int FRACTION> wide_T total(unsigned) {
#pragma HLS INLINE
    return wide_T(0);
}
template <class wide_T, int FRACTION, class beat_T, class... beats_T>
wide_T total(unsigned channel, const beat_T &beat, const beats_T &...beats) {
#pragma HLS INLINE
    return wide_T(aligned<wide_T, FRACTION>(beat[channel]) + total<wide_T, FRACTION>(channel, beats...));
}

template <class res_T, typename CONFIG_T, class... beats_T> res_T sum_of(const beats_T &...beats) {
#pragma HLS INLINE
    typedef typename integer<true, CONFIG_T::out_bits + 1>::type wide_t;
    res_T out;
    ALQ_PACKED(out)
    for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
#pragma HLS UNROLL
        out[channel] = from_raw<typename res_T::value_type>(total<wide_t, CONFIG_T::fraction>(channel, beats...));
    }
    return out;
}

// Sum of several streams, time step by time step, all brought to the finest of their grids first.
template <class res_T, typename CONFIG_T, class... data_T>
void add(hls::stream<res_T> &res, hls::stream<data_T> &...data) {
Steps:
    for (unsigned step = 0; step < CONFIG_T::in_length; step++) {
#pragma HLS PIPELINE II = 1
        res.write(sum_of<res_T, CONFIG_T>(data.read()...));
    }
    trace<res_T, CONFIG_T::out_signed, CONFIG_T::out_bits>(res, CONFIG_T::in_length);
}

// Puts the channels of several beats side by side, from channel `first` on.
template <typename CONFIG_T, class res_T> void place(res_T &, unsigned) {
#pragma HLS INLINE
}
template <typename CONFIG_T, class res_T, class beat_T, class... beats_T>
void place(res_T &out, unsigned first, const beat_T &beat, const beats_T &...beats) {
#pragma HLS INLINE
    typedef typename integer<true, CONFIG_T::out_bits + 1>::type wide_t;
    for (unsigned channel = 0; channel < beat_T::size; channel++) {
#pragma HLS UNROLL
        const wide_t value = aligned<wide_t, CONFIG_T::fraction>(beat[channel]);
        out[first + channel] = from_raw<typename res_T::value_type>(value);
    }
    place<CONFIG_T>(out, first + beat_T::size, beats...);
}

template <class res_T, typename CONFIG_T, class... beats_T> res_T side_by_side(const beats_T &...beats) {
#pragma HLS INLINE
    res_T out;
    ALQ_PACKED(out)
    place<CONFIG_T>(out, 0, beats...);
    return out;
}

// Channels of several streams side by side, all brought to the finest of their grids.
template <class res_T, typename CONFIG_T, class... data_T>
void concatenate(hls::stream<res_T> &res, hls::stream<data_T> &...data) {
Steps:
    for (unsigned step = 0; step < CONFIG_T::in_length; step++) {
#pragma HLS PIPELINE II = 1
        res.write(side_by_side<res_T, CONFIG_T>(data.read()...));
    }
    trace<res_T, CONFIG_T::out_signed, CONFIG_T::out_bits>(res, CONFIG_T::in_length);
}

// Requantisation by itself: an accumulator is what comes, whatever made it.
template <class res_T, typename CONFIG_T, class value_T> res_T activated(const value_T &value) {
#pragma HLS INLINE
    static const int bits = CONFIG_T::in_bits + (CONFIG_T::in_signed ? 0 : 1);
    typedef requantise<CONFIG_T::out_bits, bits, CONFIG_T::shift, CONFIG_T::out_signed> requantise_t;
    const typename requantise_t::accumulator_t integer =
        typename requantise_t::accumulator_t(raw<CONFIG_T::in_signed, CONFIG_T::in_bits>::of(value));
    return from_raw<res_T>(requantise_t::apply(integer));
}

template <class data_T, class res_T, typename CONFIG_T>
void activation(hls::stream<data_T> &data, hls::stream<res_T> &res) {
Steps:
    for (unsigned step = 0; step < CONFIG_T::in_length; step++) {
#pragma HLS PIPELINE II = 1
        const data_T beat = data.read();
        ALQ_PACKED(beat)
        res_T out;
        ALQ_PACKED(out)
        for (unsigned channel = 0; channel < CONFIG_T::n_channels; channel++) {
#pragma HLS UNROLL
            out[channel] = activated<typename res_T::value_type, CONFIG_T>(beat[channel]);
        }
        res.write(out);
    }
    trace<res_T, CONFIG_T::out_signed, CONFIG_T::out_bits>(res, CONFIG_T::in_length);
}

// The same layer with arrays instead of streams (io_parallel).
template <class data_T, class res_T, typename CONFIG_T>
void activation(data_T data[CONFIG_T::in_length * CONFIG_T::n_channels],
                res_T res[CONFIG_T::in_length * CONFIG_T::n_channels]) {
Values:
    for (unsigned n = 0; n < CONFIG_T::in_length * CONFIG_T::n_channels; n++)
        res[n] = activated<res_T, CONFIG_T>(data[n]);
    trace<res_T, CONFIG_T::out_signed, CONFIG_T::out_bits>(res, CONFIG_T::in_length * CONFIG_T::n_channels);
}

// One stream for each of several readers. A reader that lags behind needs a FIFO that holds what it has not read.
template <class data_T, typename CONFIG_T, class... res_T>
void fork(hls::stream<data_T> &data, hls::stream<res_T> &...res) {
Steps:
    for (unsigned step = 0; step < CONFIG_T::in_length; step++) {
#pragma HLS PIPELINE II = 1
        const data_T beat = data.read();
        ALQ_PACKED(beat)
        const int each[] = {(res.write(beat), 0)...};
        (void)each;
    }
}

} // namespace alq

#endif
