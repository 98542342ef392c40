#ifndef ALQ_SIMULATION_AP_AXI_SDATA_H_
#define ALQ_SIMULATION_AP_AXI_SDATA_H_

// The part of the vendor's header of the same name that these kernels use, for C simulation without vendor tools: the
// signals of one AXI4-Stream transfer. The vendor's compilers find their own.
// Source: UG1399, "How AXI4-Stream Works"; AMBA AXI-Stream Protocol Specification, section 2.

#include "ap_int.h"

template <int DATA_BITS, int USER_BITS, int ID_BITS, int DEST_BITS> struct ap_axis {
    ap_int<DATA_BITS> data;
    ap_uint<(DATA_BITS + 7) / 8> keep;
    ap_uint<(DATA_BITS + 7) / 8> strb;
    ap_uint<1> last;
};

#endif
