#ifndef ALQ_AXIS_H_
#define ALQ_AXIS_H_

#include "alq_types.h"
#include "ap_axi_sdata.h"

namespace alq {

// The next sample of a frame. After TLAST the frame has ended and every further sample is zero, so a host that loses a
// sample spoils one frame and never shifts the ones after it.
template <class value_T, class axis_T> value_T receive(hls::stream<axis_T> &samples, bool &ended) {
#pragma HLS INLINE
    if (ended)
        return 0;
    const axis_T transfer = samples.read();
    ended = transfer.last;
    return from_raw<value_T>(ap_int<value_T::width>(transfer.data));
}

// Drops what comes after the last sample of a frame, up to TLAST: nothing in a whole frame, so reports count no cycle.
template <class axis_T> void drop_surplus(hls::stream<axis_T> &samples, bool ended) {
#pragma HLS INLINE
Surplus:
    while (!ended) {
#pragma HLS PIPELINE II = 1
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 0
#ifndef __SYNTHESIS__
        if (samples.empty()) // hardware waits for more; a simulation would wait for ever
            break;
#endif
        ended = samples.read().last;
    }
}

// One logit, sign-extended to the width of the transfer.
template <bool SIGNED, class axis_T, class value_T> void give(hls::stream<axis_T> &logits, value_T value, bool last) {
#pragma HLS INLINE
    axis_T transfer;
    transfer.data = raw<SIGNED, value_T::width>::of(value);
    transfer.keep = -1;
    transfer.strb = -1;
    transfer.last = last;
    logits.write(transfer);
}

// One frame from AXI4-Stream: LENGTH samples, one per transfer and clock cycle, TLAST on the last one. A time step's
// channels follow each other.
template <unsigned LENGTH, class axis_T, class data_T>
void read_frame(hls::stream<axis_T> &samples, hls::stream<data_T> &data) {
    bool ended = false;
Samples:
    for (unsigned start = 0; start < LENGTH; start += data_T::size) {
        data_T beat;
        ALQ_PACKED(beat)
    Channels:
        for (unsigned n = 0; n < data_T::size; n++) {
#pragma HLS PIPELINE II = 1
            beat[n] = receive<typename data_T::value_type>(samples, ended);
        }
        data.write(beat);
    }
    drop_surplus(samples, ended);
}

// The same into an array (io_parallel).
template <unsigned LENGTH, class axis_T, class value_T>
void read_frame(hls::stream<axis_T> &samples, value_T data[LENGTH]) {
    bool ended = false;
Samples:
    for (unsigned n = 0; n < LENGTH; n++) {
#pragma HLS PIPELINE II = 1
        data[n] = receive<value_T>(samples, ended);
    }
    drop_surplus(samples, ended);
}

// The logits of one frame to AXI4-Stream, one per transfer, TLAST on the last one.
template <unsigned LENGTH, bool SIGNED, class axis_T, class data_T>
void write_frame(hls::stream<data_T> &data, hls::stream<axis_T> &logits) {
Steps:
    for (unsigned start = 0; start < LENGTH; start += data_T::size) {
        const data_T beat = data.read();
        ALQ_PACKED(beat)
        typename data_T::value_type values[data_T::size]; // read one after the other: each in a register of its own
#pragma HLS ARRAY_PARTITION variable = values complete
    Unpack:
        for (unsigned n = 0; n < data_T::size; n++) {
#pragma HLS UNROLL
            values[n] = beat[n];
        }
    Logits:
        for (unsigned n = 0; n < data_T::size; n++) {
#pragma HLS PIPELINE II = 1
            give<SIGNED>(logits, values[n], start + n == LENGTH - 1);
        }
    }
}

// The same from an array (io_parallel).
template <unsigned LENGTH, bool SIGNED, class axis_T, class value_T>
void write_frame(value_T data[LENGTH], hls::stream<axis_T> &logits) {
Logits:
    for (unsigned n = 0; n < LENGTH; n++) {
#pragma HLS PIPELINE II = 1
        give<SIGNED>(logits, data[n], n == LENGTH - 1);
    }
}

} // namespace alq

#endif
