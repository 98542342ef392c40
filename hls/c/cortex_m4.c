/* The exported network on a Cortex-M4, for QEMU: windows out of a file of the host (semihosting), logits into another.
 *
 * With MEASURE it also tells the instructions of a window and the stack that it needed; without it this is the smallest
 * program around the network, whose size in flash and RAM counts. Instructions come from the system timer: under
 * `-icount shift=0` an instruction takes one nanosecond of the emulated board's time. */
#include "ecg_alq.h"

extern uint8_t data_first[], data_last[], data_in_flash[], bss_first[], bss_last[], stack_first[], stack_last[];
int main(void);
void reset(void);

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {(uintptr_t)stack_last, (uintptr_t)reset};

static ecg_alq_state state;
static int16_t window[ECG_ALQ_SAMPLES * ECG_ALQ_CHANNELS];
static ecg_alq_logit logits[ECG_ALQ_LOGITS];

void reset(void) {
  for (uint32_t i = 0; data_first + i < data_last; i++) data_first[i] = data_in_flash[i];
  for (uint8_t *byte = bss_first; byte < bss_last; byte++) *byte = 0;
  main();
  for (;;) continue;
}

#ifndef MEASURE
int main(void) { return ecg_alq_classify(&state, window, logits); }
#else

enum { OPEN = 0x01, CLOSE = 0x02, WRITE0 = 0x04, WRITE = 0x05, READ = 0x06, EXIT = 0x18 };
enum { READ_BINARY = 1, WRITE_BINARY = 5, DONE = 0x20026, FAILED = 0x20024 };
enum { NS_PER_TICK = 40, PATTERN = 0xa5 }; /* the board's clock has 25 MHz */
static volatile uint32_t *const timer = (volatile uint32_t *)0xe000e010; /* control, reload, value */

static intptr_t host(int call, const void *argument) {
  register intptr_t r0 __asm__("r0") = call;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void say(const char *name, uint32_t value) {
  char text[40], digits[12];
  unsigned length = 0, count = 0;
  while (*name) text[length++] = *name++;
  text[length++] = ' ';
  do digits[count++] = (char)('0' + value % 10);
  while (value /= 10);
  while (count) text[length++] = digits[--count];
  text[length++] = '\n';
  text[length] = 0;
  host(WRITE0, text);
}

static uint32_t ticks(uint32_t since) { return (since - timer[2]) & 0xffffff; }

static intptr_t opened(const char *name, uint32_t length, intptr_t mode) {
  const intptr_t words[] = {(intptr_t)name, mode, (intptr_t)length};
  return host(OPEN, words);
}

int main(void) {
  timer[1] = 0xffffff;
  timer[2] = 0;
  timer[0] = 5; /* on, the processor's clock */
  uint32_t start = timer[2];
  uint32_t turns = 100000; /* of two instructions: the scale of all that follows */
  __asm__ volatile("1: subs %0, #1\n bne 1b" : "+r"(turns) : : "cc");
  say("calibration", ticks(start) * NS_PER_TICK);
  intptr_t in = opened("windows.bin", 11, READ_BINARY), out = opened("logits.bin", 10, WRITE_BINARY);
  if (in < 0 || out < 0) host(EXIT, (void *)FAILED);
  uint32_t least = UINT32_MAX, most = 0;
  uint8_t *top = (uint8_t *)__builtin_frame_address(0) - 256; /* below this function's own frame and the calls' */
  for (uint8_t *byte = stack_first; byte < top; byte++) *(volatile uint8_t *)byte = PATTERN;
  for (;;) {
    const intptr_t read[] = {in, (intptr_t)window, sizeof window};
    if (host(READ, read) != 0) break; /* bytes that are missing */
    start = timer[2];
    if (ecg_alq_classify(&state, window, logits) != ECG_ALQ_OK) host(EXIT, (void *)FAILED);
    uint32_t taken = ticks(start);
    if (taken < least) least = taken;
    if (taken > most) most = taken;
    const intptr_t write[] = {out, (intptr_t)logits, sizeof logits};
    if (host(WRITE, write) != 0) host(EXIT, (void *)FAILED);
  }
  const uint8_t *deepest = stack_first;
  while (deepest < top && *(const volatile uint8_t *)deepest == PATTERN) deepest++;
  say("least", least * NS_PER_TICK);
  say("most", most * NS_PER_TICK);
  say("stack", (uint32_t)(stack_last - deepest));
  say("state", sizeof state);
  host(CLOSE, &out);
  host(EXIT, (void *)DONE);
  return 0;
}
#endif
