#ifndef ALQ_TYPES_H_
#define ALQ_TYPES_H_

// What the kernels need, for compilers without streams and arbitrary-precision types: native integers everywhere.

#include <cstdint>

namespace hls {
template <class T> class stream; // the streaming kernels are declared, never used
}

namespace alq {

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

typedef unsigned char sign; // 1 = +1, 0 = -1

template <class T, unsigned N> void clear(T (&values)[N]) {
    for (unsigned n = 0; n < N; n++)
        values[n] = 0;
}
template <class T, unsigned ROWS, unsigned N> void clear(T (&values)[ROWS][N]) {
    for (unsigned row = 0; row < ROWS; row++)
        clear(values[row]);
}

template <bool SIGNED, int BITS> struct raw {
    template <class T> static T of(T value) { return value; }
};

template <class T, class INTEGER_T> T from_raw(INTEGER_T bits) {
    return T(bits);
}

template <class beat_T, bool SIGNED, int BITS> void trace(hls::stream<beat_T> &, unsigned) {}
template <class value_T, bool SIGNED, int BITS> void trace(const value_T *, unsigned) {}

} // namespace alq

#endif
