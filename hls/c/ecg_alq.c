/* A frozen ECG network in C99: integers behind the input stage, no heap, no global state.
 *
 * Samples are pushed through the stages one time step at a time; every stage keeps the few steps that it looks back
 * on. A convolution sums +-x over its sign planes: four weights at a time from a table of the 16 sums that four values
 * can make, which all filters share. */
#include "ecg_alq.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if DBL_MANT_DIG != 53 || FLT_EVAL_METHOD != 0 || defined(__FAST_MATH__)
#error "the input stage needs IEEE 754 double precision as it is written: no fast maths, no x87 registers (-mfpmath=sse)"
#endif

typedef ECG_ALQ_VALUE value_t;     /* what runs between two stages */
typedef ECG_ALQ_PARTIAL partial_t; /* the sum of four values */
typedef ECG_ALQ_SUM sum_t;         /* an accumulator */

enum { PLANES, MAXIMUM, AVERAGE, TIME_SUM, ACTIVATION, ADD, CONCATENATE };

/* One stage. `at` fields are places in the state's values, -1 as a source is the network's input. */
typedef struct {
  uint8_t kind;
  uint8_t shift;     /* bits to drop, or to append if `append` is set */
  uint8_t append;
  uint8_t kernelwise;
  uint16_t sources;  /* entries of `inputs` from `first_input` on: joins have several */
  uint16_t first_input;
  uint16_t reader; /* the last stage that reads this one */
  uint16_t channels, out_channels;
  uint16_t taps, dilation, stride, left, right; /* of a window; a pool's size is its taps */
  uint16_t runs, groups;                        /* channel groups, groups per filter */
  uint32_t length;                              /* time steps that enter */
  uint32_t ring_at, out_at;
  uint32_t counts_at, coordinates_at, signs_at, bias_at;
  sum_t low, high; /* of the output format */
} stage_t;

/* One source of a stage; a join holds what comes early in a queue. */
typedef struct {
  int16_t stage;
  uint8_t shift; /* bits to append, to the finest grid of a join */
  uint16_t capacity;
  uint32_t queue_at;
} input_t;

/*TABLES*/

/* Round half to even, then saturate. */
static sum_t requantise(const stage_t *stage, sum_t value) {
  if (stage->append) {
    if (value > stage->high >> stage->shift) return stage->high;
    if (value < -(-stage->low >> stage->shift)) return stage->low;
    return value * ((sum_t)1 << stage->shift);
  }
  if (stage->shift) {
    /* the quotient towards minus infinity: right shifts of negative numbers are the compiler's choice */
    sum_t floor = value >= 0 ? value >> stage->shift : -((-(value + 1)) >> stage->shift) - 1;
    sum_t rest = value - floor * ((sum_t)1 << stage->shift);
    sum_t half = (sum_t)1 << (stage->shift - 1);
    value = floor + (rest > half || (rest == half && (floor & 1)));
  }
  return value < stage->low ? stage->low : value > stage->high ? stage->high : value;
}

/* A value leaves a stage: to the stages behind it, or out of the network. */
static void leave(ecg_alq_state *state, unsigned number, uint32_t channel, sum_t value, ecg_alq_logit *logits) {
  const stage_t *stage = &stages[number];
  if (number + 1 < STAGES)
    state->values[stage->out_at + channel] = (value_t)value;
  else
    logits[state->left[number] * stage->out_channels + channel] = value;
}

/* Sums of every four values of a group with every combination of signs: bit i set adds value i, clear subtracts it. */
static void tabulate(partial_t *table, const value_t *window, uint32_t fours) {
  for (; fours; fours--, window += 4, table += 16) {
    const partial_t a = window[0], b = window[1], c = window[2], d = window[3];
    const partial_t two = (partial_t)(a + b), less = (partial_t)(a - b);
    const partial_t both = (partial_t)(c + d), other = (partial_t)(c - d);
    table[0] = (partial_t)(-two - both);
    table[1] = (partial_t)(less - both);
    table[2] = (partial_t)(-less - both);
    table[3] = (partial_t)(two - both);
    table[4] = (partial_t)(-two + other);
    table[5] = (partial_t)(less + other);
    table[6] = (partial_t)(-less + other);
    table[7] = (partial_t)(two + other);
    for (unsigned i = 0; i < 8; i++) table[15 - i] = (partial_t)-table[i]; /* all signs the other way */
  }
}

/* Sum of +-x over the weights of a group: one nibble of signs for every four of them. */
static sum_t signed_sum(const partial_t *table, const uint8_t *signs, uint32_t fours) {
  sum_t sum = 0;
  for (; fours >= 2; fours -= 2, table += 32) {
    unsigned byte = *signs++;
    sum += table[byte & 15];
    sum += table[16 + (byte >> 4)];
  }
  return fours ? sum + table[*signs & 15] : sum;
}

/* One output step of a convolution. `oldest` is the place of the window's first step in the ring. */
static void planes(ecg_alq_state *state, unsigned number, uint32_t oldest, ecg_alq_logit *logits) {
  const stage_t *stage = &stages[number];
  const value_t *ring = state->values + stage->ring_at;
  const uint8_t *count = plane_counts + stage->counts_at, *sign = signs + stage->signs_at;
  const coordinate_t *coordinate = coordinates + stage->coordinates_at;
  const bias_t *bias = biases + stage->bias_at;
  uint32_t span = (uint32_t)(stage->taps - 1) * stage->dilation + 1;
  uint32_t fan = stage->channels / stage->runs, filters = stage->out_channels / stage->runs;
  uint32_t size = stage->taps * fan / stage->groups, fours = (size + 3) / 4;
  for (uint32_t run = 0; run < stage->runs; run++) {
    for (uint32_t group = 0; group < stage->groups; group++) {
      value_t window[WINDOW];
      uint32_t first = stage->kernelwise ? group : group * size, channel = first % fan;
      uint32_t step = oldest + first / fan * stage->dilation;
      for (uint32_t i = 0; i < size; i++) {
        if (step >= span) step -= span;
        window[i] = ring[step * stage->channels + run * fan + channel];
        if (stage->kernelwise) step += stage->dilation;
        else if (++channel == fan) {
          channel = 0;
          step += stage->dilation;
        }
      }
      for (uint32_t i = size; i < 4 * fours; i++) window[i] = 0;
      tabulate(state->table + 16 * fours * group, window, fours);
    }
    for (uint32_t filter = run * filters; filter < (run + 1) * filters; filter++) {
      sum_t sum = *bias++;
      for (uint32_t group = 0; group < stage->groups; group++)
        for (unsigned plane = *count++; plane; plane--, sign += (fours + 1) / 2)
          sum += (sum_t)*coordinate++ * signed_sum(state->table + 16 * fours * group, sign, fours);
      leave(state, number, filter, requantise(stage, sum), logits);
    }
  }
}

static void pool(ecg_alq_state *state, unsigned number, ecg_alq_logit *logits) {
  const stage_t *stage = &stages[number];
  const value_t *ring = state->values + stage->ring_at;
  for (uint32_t channel = 0; channel < stage->channels; channel++) {
    sum_t result = ring[channel];
    for (uint32_t step = 1; step < stage->taps; step++) {
      sum_t value = ring[step * stage->channels + channel];
      if (stage->kind == AVERAGE)
        result += value;
      else if (value > result)
        result = value;
    }
    leave(state, number, channel, result, logits);
  }
}

/* A stage with a window takes a step, NULL for padding; whether an output left. */
static int slide(ecg_alq_state *state, unsigned number, const value_t *in, ecg_alq_logit *logits) {
  const stage_t *stage = &stages[number];
  uint32_t span = (uint32_t)(stage->taps - 1) * stage->dilation + 1, place = state->place[number];
  value_t *step = state->values + stage->ring_at + place * stage->channels;
  for (uint32_t channel = 0; channel < stage->channels; channel++)
    step[channel] = in ? in[channel] : (value_t)(stage->kind == MAXIMUM ? stage->low : 0);
  place = place + 1 == span ? 0 : place + 1;
  state->place[number] = place;
  /* steps that came in, padding on the left included, beyond the first whole window */
  uint32_t behind = ++state->entered[number] + stage->left - span;
  if (state->entered[number] + stage->left < span || behind % stage->stride) return 0;
  if (stage->kind == PLANES)
    planes(state, number, place, logits);
  else
    pool(state, number, logits);
  return 1;
}

static int accumulate(ecg_alq_state *state, unsigned number, const value_t *in, ecg_alq_logit *logits) {
  const stage_t *stage = &stages[number];
  value_t *sums = state->values + stage->ring_at;
  for (uint32_t channel = 0; channel < stage->channels; channel++) sums[channel] = (value_t)(sums[channel] + in[channel]);
  if (++state->entered[number] < stage->length) return 0;
  for (uint32_t channel = 0; channel < stage->channels; channel++)
    leave(state, number, channel, sums[channel], logits);
  return 1;
}

/* A join waits until every source has a step, then takes one of each. */
static int join(ecg_alq_state *state, unsigned number, ecg_alq_logit *logits) {
  const stage_t *stage = &stages[number];
  const input_t *input = inputs + stage->first_input;
  for (unsigned i = 0; i < stage->sources; i++)
    if (state->queued[stage->first_input + i] == 0) return 0;
  uint32_t offset = 0;
  for (unsigned i = 0; i < stage->sources; i++) {
    uint32_t channels = input[i].stage < 0 ? ECG_ALQ_CHANNELS : stages[input[i].stage].out_channels;
    uint16_t *head = &state->head[stage->first_input + i];
    const value_t *step = state->values + input[i].queue_at + *head * channels;
    *head = (uint16_t)(*head + 1 == input[i].capacity ? 0 : *head + 1);
    state->queued[stage->first_input + i]--;
    for (uint32_t channel = 0; channel < channels; channel++) {
      sum_t value = (sum_t)step[channel] * ((sum_t)1 << input[i].shift);
      if (stage->kind == CONCATENATE)
        leave(state, number, offset + channel, value, logits);
      else
        state->sums[channel] = i ? state->sums[channel] + value : value;
    }
    offset += channels;
  }
  if (stage->kind == ADD)
    for (uint32_t channel = 0; channel < stage->channels; channel++)
      leave(state, number, channel, state->sums[channel], logits);
  return 1;
}

static void enqueue(ecg_alq_state *state, unsigned entry, const value_t *in, uint32_t channels) {
  const input_t *input = &inputs[entry];
  uint32_t place = (uint32_t)state->head[entry] + state->queued[entry]++;
  if (place >= input->capacity) place -= input->capacity;
  memcpy(state->values + input->queue_at + place * channels, in, channels * sizeof *in);
}

/* A stage takes what its sources have just given; whether an output left. */
static int work(ecg_alq_state *state, unsigned number, const value_t *in, ecg_alq_logit *logits) {
  const stage_t *stage = &stages[number];
  switch (stage->kind) {
    case ADD:
    case CONCATENATE:
      return join(state, number, logits);
    case TIME_SUM:
      return accumulate(state, number, in, logits);
    case ACTIVATION:
      for (uint32_t channel = 0; channel < stage->channels; channel++)
        leave(state, number, channel, requantise(stage, in[channel]), logits);
      return 1;
    default:
      return slide(state, number, in, logits);
  }
}

/* Count an output and show it to whoever traces. */
static void emit(ecg_alq_state *state, unsigned number, const ecg_alq_logit *logits) {
#ifdef ECG_ALQ_TRACE
  const stage_t *stage = &stages[number];
  for (uint32_t channel = 0; channel < stage->out_channels; channel++)
    ECG_ALQ_TRACE(number, number + 1 < STAGES ? (int64_t)state->values[stage->out_at + channel]
                                              : (int64_t)logits[state->left[number] * stage->out_channels + channel]);
#else
  (void)logits;
#endif
  state->left[number]++;
  state->fresh[number] = state->sweep;
}

/* Stages `number` to `last` and those behind them take what is fresh; `in` is a step of the input, or NULL. */
static void sweep(ecg_alq_state *state, unsigned number, unsigned last, const value_t *in, ecg_alq_logit *logits) {
  for (; number <= last; number++) {
    const stage_t *stage = &stages[number];
    const value_t *step = NULL;
    for (unsigned i = 0; i < stage->sources; i++) {
      const input_t *input = &inputs[stage->first_input + i];
      const value_t *given = in;
      uint32_t channels = ECG_ALQ_CHANNELS;
      if (input->stage >= 0) {
        if (state->fresh[input->stage] != state->sweep) continue;
        given = state->values + stages[input->stage].out_at;
        channels = stages[input->stage].out_channels;
      } else if (!in)
        continue;
      if (stage->kind >= ADD) enqueue(state, stage->first_input + i, given, channels);
      step = given;
    }
    if (step && work(state, number, step, logits)) {
      emit(state, number, logits);
      if (stage->reader > last) last = stage->reader;
    }
  }
}

void ecg_alq_begin(ecg_alq_state *state) {
  memset(state, 0, sizeof *state);
  for (unsigned number = 0; number < STAGES; number++) {
    const stage_t *stage = &stages[number];
    if (stage->kind > AVERAGE) continue;
    uint32_t values = ((uint32_t)(stage->taps - 1) * stage->dilation + 1) * stage->channels;
    if (stage->kind == MAXIMUM) /* padding never is the maximum */
      for (uint32_t i = 0; i < values; i++) state->values[stage->ring_at + i] = (value_t)stage->low;
    /* the ring holds the padding on the left; the first step comes behind it */
    state->place[number] = stage->left % ((uint32_t)(stage->taps - 1) * stage->dilation + 1);
  }
}

void ecg_alq_step(ecg_alq_state *state, const ecg_alq_value *step, ecg_alq_logit *logits) {
  state->sweep++;
  sweep(state, 0, INPUT_READER, step, logits);
}

void ecg_alq_end(ecg_alq_state *state, ecg_alq_logit *logits) {
  for (unsigned number = 0; number < STAGES; number++)
    if (stages[number].kind <= AVERAGE)
      for (uint32_t i = 0; i < stages[number].right; i++) {
        state->sweep++;
        if (slide(state, number, NULL, logits)) {
          emit(state, number, logits);
          sweep(state, number + 1, stages[number].reader, NULL, logits);
        }
      }
}

void ecg_alq_run(ecg_alq_state *state, const ecg_alq_value *x, ecg_alq_logit *logits) {
  ecg_alq_begin(state);
  for (uint32_t i = 0; i < ECG_ALQ_SAMPLES; i++) ecg_alq_step(state, x + i * ECG_ALQ_CHANNELS, logits);
  ecg_alq_end(state, logits);
}

/* Standardise: (N x - sum) 2**f / sqrt(N sum of squares - sum**2), half to even. The sums are integers, and IEEE 754
 * fixes the root, the product and the quotient: every engine gets the same integers. */
int ecg_alq_classify(ecg_alq_state *state, const int16_t *window, ecg_alq_logit *logits) {
  int64_t sums[ECG_ALQ_CHANNELS];
  double deviation[ECG_ALQ_CHANNELS];
  for (unsigned channel = 0; channel < ECG_ALQ_CHANNELS; channel++) {
    int64_t sum = 0, squares = 0;
    for (uint32_t i = 0; i < ECG_ALQ_SAMPLES; i++) {
      int32_t sample = window[i * ECG_ALQ_CHANNELS + channel];
      sum += sample;
      squares += (int64_t)sample * sample;
    }
    int64_t spread = ECG_ALQ_SAMPLES * squares - sum * sum;
    if (spread == 0) return ECG_ALQ_FLAT;
    sums[channel] = sum;
    deviation[channel] = sqrt((double)spread);
  }
  ecg_alq_begin(state);
  for (uint32_t i = 0; i < ECG_ALQ_SAMPLES; i++) {
    ecg_alq_value step[ECG_ALQ_CHANNELS];
    for (unsigned channel = 0; channel < ECG_ALQ_CHANNELS; channel++) {
      int64_t distance = (int64_t)ECG_ALQ_SAMPLES * window[i * ECG_ALQ_CHANNELS + channel] - sums[channel];
      double rounded = rint((double)distance * INPUT_SCALE / deviation[channel]);
      step[channel] = (ecg_alq_value)(rounded < INPUT_LOW ? INPUT_LOW : rounded > INPUT_HIGH ? INPUT_HIGH : rounded);
    }
    ecg_alq_step(state, step, logits);
  }
  ecg_alq_end(state, logits);
  return ECG_ALQ_OK;
}
