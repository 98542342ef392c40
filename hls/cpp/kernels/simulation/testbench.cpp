// Testbench for csim_design and cosim_design: golden frames in, logits and TLAST out, exactly.
//
// tb_data/samples.dat and tb_data/logits.dat hold one frame per line. All frames are sent back to back before the first
// result is looked at, then the first one three times more: nothing of one frame may reach the next.

#include "firmware/ecg_alq.h"
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

typedef std::vector<std::vector<long long>> table;

static table read_table(const char *path, std::size_t columns) {
    std::ifstream file(path);
    table rows;
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream numbers(line);
        std::vector<long long> row;
        long long number;
        while (numbers >> number)
            row.push_back(number);
        if (row.size() != columns) {
            std::cout << "ERROR: " << path << " line " << rows.size() + 1 << " has " << row.size()
                      << " numbers, expected " << columns << std::endl;
            return table();
        }
        rows.push_back(row);
    }
    return rows;
}

int main() {
    table samples = read_table("tb_data/samples.dat", n_samples);
    table logits = read_table("tb_data/logits.dat", n_logits);
    if (samples.empty() || samples.size() != logits.size()) {
        std::cout << "ERROR: no golden vectors in tb_data, or not the same number of frames and results" << std::endl;
        return 1;
    }
    for (int repeat = 0; repeat < 3; repeat++) {
        samples.push_back(samples[0]);
        logits.push_back(logits[0]);
    }

    hls::stream<sample_axis> in("samples");
    hls::stream<logit_axis> out("logits");
    for (std::size_t frame = 0; frame < samples.size(); frame++)
        for (unsigned n = 0; n < n_samples; n++) {
            sample_axis transfer;
            transfer.data = samples[frame][n];
            transfer.keep = -1;
            transfer.strb = -1;
            transfer.last = n == n_samples - 1;
            in.write(transfer);
        }
    for (std::size_t frame = 0; frame < samples.size(); frame++)
        ecg_alq(in, out);

    unsigned errors = 0;
    for (std::size_t frame = 0; frame < samples.size(); frame++)
        for (unsigned n = 0; n < n_logits; n++) {
            if (out.empty()) {
                std::cout << "ERROR: frame " << frame << ": the output ends at logit " << n << std::endl;
                return 1;
            }
            const logit_axis transfer = out.read();
            const long long value = transfer.data.to_int64();
            const bool last = transfer.last != 0;
            if (value == logits[frame][n] && last == (n == n_logits - 1))
                continue;
            errors++;
            std::cout << "ERROR: frame " << frame << " logit " << n << ": " << value << " TLAST " << last
                      << ", expected " << logits[frame][n] << " TLAST " << (n == n_logits - 1) << std::endl;
        }
    if (!out.empty()) {
        std::cout << "ERROR: more transfers came out than " << samples.size() << " frames have logits" << std::endl;
        errors++;
    }
    if (errors == 0)
        std::cout << "PASS: " << samples.size() << " frames, every logit and TLAST as expected" << std::endl;
    return errors == 0 ? 0 : 1;
}
