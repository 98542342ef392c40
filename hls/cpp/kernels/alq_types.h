#ifndef ALQ_TYPES_H_
#define ALQ_TYPES_H_

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"
#include <cstdint>

namespace alq {

// Bits of the integers 0 to HIGHEST.
template <unsigned HIGHEST> struct bits_of {
    static const int value = 1 + bits_of<(HIGHEST >> 1)>::value;
};
template <> struct bits_of<0> {
    static const int value = 0;
};

// Integers of derived width.
//
// Every width in these kernels follows from the worst case of the frozen weights, so no integer here ever overflows.
// Hardware gets exactly that width. C simulation gets the smallest native type of at least that width (HOST_BITS asks
// for more): it computes the same integers, and the host compiler can vectorise it. With ALQ_EXACT_WIDTHS the C
// simulation takes the hardware types too; the tests demand the same integers from both, which proves the widths.
#if defined(__SYNTHESIS__) || defined(ALQ_EXACT_WIDTHS)
template <bool SIGNED, int BITS, int HOST_BITS = BITS> struct integer {
    typedef ap_int<BITS> type;
};
template <int BITS, int HOST_BITS> struct integer<false, BITS, HOST_BITS> {
    typedef ap_uint<BITS> type;
};
// A counter from 0 to HIGHEST.
template <unsigned HIGHEST> struct counter {
    typedef ap_uint<bits_of<HIGHEST>::value> type;
};
#else
template <int BYTES> struct native;
template <> struct native<1> {
    typedef std::int8_t type;
};
template <> struct native<2> {
    typedef std::int16_t type;
};
template <> struct native<4> {
    typedef std::int32_t type;
};
template <> struct native<8> {
    typedef std::int64_t type;
};

template <bool SIGNED, int BITS, int HOST_BITS = BITS> struct integer {
    static const int own = BITS + (SIGNED ? 0 : 1);
    static const int bits = own > HOST_BITS ? own : HOST_BITS;
    typedef typename native<bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8>::type type;
};
template <unsigned HIGHEST> struct counter {
    typedef unsigned type;
};
#endif

// A beat of a stream as one word. Vitis HLS makes one of a struct by itself; Vivado HLS would make a stream per member.
#if defined(__SYNTHESIS__) && !defined(__VITIS_HLS__)
#define ALQ_PRAGMA(text) _Pragma(#text)
#define ALQ_PACKED(name) ALQ_PRAGMA(HLS DATA_PACK variable = name)
#else
#define ALQ_PACKED(name)
#endif

// One sign of a plane: 1 = +1, 0 = -1.
#if defined(__SYNTHESIS__) || defined(ALQ_EXACT_WIDTHS)
typedef ap_uint<1> sign;
#else
typedef unsigned char sign; // not bool, which g++ does not vectorise
#endif

// Zeros in one clock cycle. The default constructors of ap_types leave values as they are, so `= {}` would not do.
template <class T, unsigned N> void clear(T (&values)[N]) {
#pragma HLS INLINE
    for (unsigned n = 0; n < N; n++) {
#pragma HLS UNROLL
        values[n] = 0;
    }
}
template <class T, unsigned ROWS, unsigned N> void clear(T (&values)[ROWS][N]) {
#pragma HLS INLINE
    for (unsigned row = 0; row < ROWS; row++) {
#pragma HLS UNROLL
        clear(values[row]);
    }
}

// The integer X of a fixed-point value X * 2**-fraction: its bits, no arithmetic.
template <bool SIGNED, int BITS> struct raw {
    template <class FIXED_T> static ap_int<BITS> of(const FIXED_T &value) {
        return ap_int<BITS>(value.range(BITS - 1, 0));
    }
};
template <int BITS> struct raw<false, BITS> {
    template <class FIXED_T> static ap_uint<BITS> of(const FIXED_T &value) {
        return ap_uint<BITS>(value.range(BITS - 1, 0));
    }
};

// The fixed-point value whose integer is `bits`.
template <class FIXED_T, class INTEGER_T> FIXED_T from_raw(INTEGER_T bits) {
#pragma HLS INLINE
    FIXED_T value;
    value.range(FIXED_T::width - 1, 0) = ap_int<FIXED_T::width>(bits);
    return value;
}

#ifndef __SYNTHESIS__
// Where the stages of this thread's frame write their integers, one after the other; null: nowhere.
inline std::int64_t *&trace_sink() {
    static thread_local std::int64_t *sink = nullptr;
    return sink;
}
#endif

// Copies the integers of a stage's output to the trace of the C simulation; nothing in hardware.
template <class beat_T, bool SIGNED, int BITS> void trace(hls::stream<beat_T> &stream, unsigned steps) {
#pragma HLS INLINE
#ifndef __SYNTHESIS__
    std::int64_t *&sink = trace_sink();
    if (sink == nullptr)
        return;
    for (unsigned step = 0; step < steps; step++) {
        const beat_T beat = stream.read();
        for (unsigned channel = 0; channel < beat_T::size; channel++)
            *sink++ = (raw<SIGNED, BITS>::of(beat[channel])).to_int64();
        stream.write(beat);
    }
#endif
}

template <class value_T, bool SIGNED, int BITS> void trace(const value_T *values, unsigned number) {
#pragma HLS INLINE
#ifndef __SYNTHESIS__
    std::int64_t *&sink = trace_sink();
    if (sink == nullptr)
        return;
    for (unsigned n = 0; n < number; n++)
        *sink++ = (raw<SIGNED, BITS>::of(values[n])).to_int64();
#endif
}

} // namespace alq

#endif
