// C simulation as a library: frames in and out through the AXI4-Stream top, in one translation unit.

#include "../firmware/alq_network.cpp"
#include "../firmware/ecg_alq.cpp"

// Sends `transfers` samples with their TLAST, calls the top `frames` times and collects what it gives.
//
// values, lasts: room for `capacity` transfers. trace: room for every stage's integers of all frames, or null.
// Returns the number of transfers that came out, which may be more than `capacity`.
extern "C" long long alq_stream(const long long *samples, const unsigned char *last, long long transfers,
                                long long frames, long long *values, unsigned char *lasts, long long capacity,
                                std::int64_t *trace) {
    hls::stream<sample_axis> in("samples");
    hls::stream<logit_axis> out("logits");
    for (long long n = 0; n < transfers; n++) {
        sample_axis transfer;
        transfer.data = samples[n];
        transfer.keep = -1;
        transfer.strb = -1;
        transfer.last = last[n];
        in.write(transfer);
    }
    alq::trace_sink() = trace;
    for (long long frame = 0; frame < frames; frame++)
        ecg_alq(in, out);
    alq::trace_sink() = nullptr;
    while (!in.empty())
        in.read();
    long long count = 0;
    for (; !out.empty(); count++) {
        const logit_axis transfer = out.read();
        if (count < capacity) {
            values[count] = transfer.data.to_int64();
            lasts[count] = transfer.last;
        }
    }
    return count;
}
