/* The golden vector of ecg_alq.c: a window of ADC units and the logits that every engine gives for it. */
#include <stdio.h>

#include "ecg_alq.h"

static const int16_t window[ECG_ALQ_SAMPLES * ECG_ALQ_CHANNELS] = {
/*WINDOW*/
};
static const ecg_alq_logit expected[ECG_ALQ_LOGITS] = {
/*EXPECTED*/
};
static ecg_alq_state state;

int main(void) {
  for (int turn = 0; turn < 2; turn++) { /* twice: nothing is left over from a window */
    ecg_alq_logit logits[ECG_ALQ_LOGITS];
    if (ecg_alq_classify(&state, window, logits) != ECG_ALQ_OK) {
      printf("ecg_alq: the window was refused\n");
      return 1;
    }
    for (int i = 0; i < ECG_ALQ_LOGITS; i++)
      if (logits[i] != expected[i]) {
        printf("ecg_alq: logit %d is %ld, expected %ld\n", i, (long)logits[i], (long)expected[i]);
        return 1;
      }
  }
  printf("ecg_alq: %d logits as expected, twice\n", ECG_ALQ_LOGITS);
  return 0;
}
