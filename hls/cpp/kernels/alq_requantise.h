#ifndef ALQ_REQUANTISE_H_
#define ALQ_REQUANTISE_H_

#include "alq_types.h"

namespace alq {

// Drop SHIFT bits rounding half to even (AP_RND_CONV), then saturate to BITS bits (AP_SAT); without a sign that is the
// ReLU, and since an accumulator below zero rounds to zero at most, it may come first. A negative SHIFT appends zeros.
template <int BITS, int ACCUMULATOR_BITS, int SHIFT, bool SIGNED = false> struct requantise {
    typedef typename integer<true, ACCUMULATOR_BITS>::type accumulator_t;
    typedef typename integer<SIGNED, BITS>::type result_t;

    static result_t apply(accumulator_t accumulator) {
#pragma HLS INLINE
        // Wide enough for the carry of the rounding and for the limit of the result.
        static const int wide = (ACCUMULATOR_BITS > BITS ? ACCUMULATOR_BITS : BITS) + 2;
        typedef typename integer<true, wide>::type wide_t;
        static const int drop = SHIFT > 0 ? SHIFT : 0;
        static const int append = SHIFT < 0 ? -SHIFT : 0;
        const wide_t highest = (wide_t(1) << (SIGNED ? BITS - 1 : BITS)) - 1;

        if (!SIGNED && accumulator <= 0)
            return 0;
        wide_t value = accumulator;
        if (drop > 0) {
            // With all that is below the result's last bit, "half" and "more than half" differ in one OR. A shift of
            // two's complement rounds down, so what is below counts upward for negative values too.
            const wide_t half = wide_t(1) << (drop > 0 ? drop - 1 : 0);
            const bool at_least_half = (value & half) != 0;
            const bool below_half = (value & (half - 1)) != 0;
            value = value >> drop;
            if (at_least_half && (below_half || (value & 1) != 0))
                value = value + 1;
        }
        if (value > (highest >> append))
            return result_t(highest);
        if (SIGNED && value < -((highest + 1) >> append))
            return result_t(-highest - 1);
        return result_t(value * (wide_t(1) << append));
    }
};

} // namespace alq

#endif
