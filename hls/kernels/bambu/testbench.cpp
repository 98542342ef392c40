// Golden frames in, logits out, exactly; for `bambu --generate-tb` and for any C++ compiler.

#include "ecg_alq.h"
#include "vectors.h"
#include <cstdio>

int main() {
    unsigned errors = 0;
    for (unsigned frame = 0; frame < n_frames; frame++) {
        static sample_t samples[n_samples];
        static logit_t logits[n_logits];
        for (unsigned n = 0; n < n_samples; n++)
            samples[n] = golden_samples[frame][n];
        ecg_alq(samples, logits);
        for (unsigned n = 0; n < n_logits; n++)
            if (logits[n] != golden_logits[frame][n]) {
                errors++;
                std::printf("ERROR: frame %u logit %u: %lld, expected %lld\n", frame, n, (long long)logits[n],
                            (long long)golden_logits[frame][n]);
            }
    }
    if (errors == 0)
        std::printf("PASS: %u frames\n", n_frames);
    return errors != 0;
}
