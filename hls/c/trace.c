/* ecg_alq.c for a host that looks at every stage: `trace` gets every integer that leaves one, frame after frame. */
#include <stddef.h>
#include <stdint.h>

static int64_t *trace_values;
static const uint32_t *trace_first; /* where every stage's integers of a frame begin */
static uint32_t trace_left[0x8000];

static void trace(unsigned stage, int64_t value) {
  if (trace_values) trace_values[trace_first[stage] + trace_left[stage]++] = value;
}

#define ECG_ALQ_TRACE trace
#include "ecg_alq.c"

/* Logits of `windows` windows of standardised samples, and the integers of all stages where `values` is given. */
void alq_run(const int64_t *x, uint32_t windows, int64_t *logits, int64_t *values, const uint32_t *first, uint32_t size) {
  static ecg_alq_state state;
  static ecg_alq_value frame[ECG_ALQ_SAMPLES * ECG_ALQ_CHANNELS];
  static ecg_alq_logit answer[ECG_ALQ_LOGITS];
  trace_first = first;
  for (uint32_t window = 0; window < windows; window++) {
    trace_values = values ? values + (size_t)window * size : NULL;
    memset(trace_left, 0, sizeof trace_left);
    for (uint32_t i = 0; i < ECG_ALQ_SAMPLES * ECG_ALQ_CHANNELS; i++) frame[i] = (ecg_alq_value)*x++;
    ecg_alq_run(&state, frame, answer);
    for (uint32_t i = 0; i < ECG_ALQ_LOGITS; i++) *logits++ = answer[i];
  }
}

/* The same from ADC units through the input stage; whether no window was flat. */
int alq_classify(const int16_t *adc, uint32_t windows, int64_t *logits) {
  static ecg_alq_state state;
  static ecg_alq_logit answer[ECG_ALQ_LOGITS];
  trace_values = NULL;
  for (uint32_t window = 0; window < windows; window++, adc += ECG_ALQ_SAMPLES * ECG_ALQ_CHANNELS) {
    if (ecg_alq_classify(&state, adc, answer) != ECG_ALQ_OK) return 0;
    for (uint32_t i = 0; i < ECG_ALQ_LOGITS; i++) *logits++ = answer[i];
  }
  return 1;
}
