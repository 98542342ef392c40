// The monitor's page. Of a record it owns the clock: it asks a source to advance, draws what came back, and says what
// is new. A live source owns the clock itself: the page follows, a little behind so that the trace flows evenly.
// A source is the server (one WebSocket) or a recording inside the page, for notebooks.

const MM_PER_SECOND = 25, GAINS_MM_PER_MV = [10, 5, 2.5, 1.25];
const PIXELS_PER_MM = 96 / 25.4; // CSS pixels: the nominal size of a millimetre
const SPEEDS = [1, 2, 5, 10, 30, 60];
const AHEAD_SECONDS = 0.4; // of clock time that is asked for before it is shown
const RIBBON = 20, TIMES = 16; // pixels below and above the trace
const WANDER_UV = 300, GLIDE_SECONDS = 0.8; // of the base line
const SILENCE_MS = 3000; // between two spoken announcements
const MISSING = -32768; // a sample that the record does not have
const LIVE_SECONDS = 900, LIVE_EVENTS = 200, LIVE_BEATS = 2000; // that a page keeps of a live source
const BEHIND_SECONDS = 0.25, CATCH_UP_SECONDS = 3, REPORT_MS = 1000; // of a page that follows
const RATE_SECONDS = 10; // that a heart rate is taken over
const KEEP_POSITION_KEYS = new Set(["INPUT", "SELECT"]);

const byId = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** 754.3 seconds as 12:34; with tenths as 12:34.3; beyond an hour as 1:02:34. */
function clock(seconds, tenths = false) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (!parts[0]) parts.shift();
  const text = parts.map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
  return tenths ? `${text}.${Math.floor((seconds % 1) * 10)}` : text;
}

const percent = (share) => `${Math.round(100 * share)} %`;

class LiveSource {
  /** Resolves to the description of the record, the server's first message. */
  open(lost) {
    // The token is a part of the page's own address.
    this.socket = new WebSocket(new URL(`stream${location.search}`, location.href.replace(/^http/, "ws")));
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.onmessage = (message) => {
        const content = JSON.parse(message.data);
        if (this.follow) this.follow(content);
        else if (content.live) {
          this.early = []; // stretches that come before the page is ready for them
          this.follow = (stretch) => this.early.push(stretch);
          this.waiting.resolve(content);
        } else this.waiting.resolve(content);
      };
      this.socket.onclose = (event) => {
        const reason = event.reason || "the server has stopped: start ecg-alq monitor again and reload";
        this.waiting.reject(new Error(reason));
        lost(reason);
      };
    });
  }

  /** Hands every stretch of a live source on as it comes. */
  listen(take) {
    this.follow = take;
    this.early.forEach(take);
  }

  /** Tells the server what is on the screen, so that it knows the latency. */
  shown(sample) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ shown: sample }));
  }

  /** Resolves to the next stretch of the record, which reaches `to` or as far as the server gives at once. */
  advance(to) {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.send(JSON.stringify({ advance: to }));
    });
  }
}

class RecordedSource {
  constructor(element) {
    this.messages = JSON.parse(element.textContent);
  }
  async open() {
    return this.messages.shift();
  }
  async advance() {
    return this.messages.shift();
  }
}

/**
 * What has been received so far: samples in microvolts, decisions in the order of their ends, changes of rhythm, beats.
 * Of a live source the last quarter of an hour, in a ring.
 */
class History {
  constructor(record) {
    this.live = Boolean(record.live);
    this.capacity = this.live ? LIVE_SECONDS * record.rate_hz : record.samples;
    this.signal = new Int16Array(this.capacity).fill(this.live ? MISSING : 0);
    this.begin = this.live ? null : 0;
    this.received = 0;
    this.decisions = [];
    this.events = [];
    this.beats = [];
  }
  /** Microvolts of a sample, MISSING where there is none or it is no longer kept. */
  at(sample) {
    if (sample < this.begin || sample < this.received - this.capacity) return MISSING;
    return this.signal[sample % this.capacity];
  }
  add(stretch) {
    this.begin ??= stretch.start;
    stretch.microvolts.forEach((value, i) => (this.signal[(stretch.start + i) % this.capacity] = value));
    this.received = stretch.start + stretch.microvolts.length;
    this.decisions.push(...stretch.decisions);
    this.events.push(...stretch.changes);
    this.beats.push(...(stretch.beats ?? []));
    if (!this.live) return;
    if (this.decisions.length > 2 * LIVE_SECONDS) this.decisions.splice(0, LIVE_SECONDS);
    if (this.beats.length > LIVE_BEATS) this.beats.splice(0, LIVE_BEATS / 2);
  }
  /** Beats between two samples. */
  beatsIn(from, to) {
    return this.beats.filter((beat) => beat.at > from && beat.at <= to);
  }
  /** The number of decisions that are known at a position. */
  known(position) {
    let low = 0, high = this.decisions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.decisions[middle].at <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

class Palette {
  constructor(record) {
    this.record = record;
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.read();
  }
  /** Whether the page has gone from light to dark or back since the colours were read. */
  get stale() {
    return this.dark.matches !== this.readAs;
  }
  read() {
    this.readAs = this.dark.matches;
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    this.page = Object.fromEntries(
      ["paper", "millimetre", "five", "trace", "muted", "line", "accent"].map((n) => [n, of(n)]));
    this.sayings = Object.fromEntries(this.record.sayings.map((saying) => [saying.name, saying]));
    this.font = getComputedStyle(document.body).fontFamily;
  }
  colour(said) {
    return this.sayings[said].colour;
  }
  title(said) {
    return this.sayings[said].title;
  }
}

/** Fits a canvas to its box at the screen's resolution; returns context, width and height in CSS pixels. */
function fitted(canvas) {
  const ratio = devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [context, width, height];
}

/** The ECG on the standard grid, its newest sample at the right edge. */
class Strip {
  constructor(canvas, record, history, palette) {
    Object.assign(this, { canvas, record, history, palette });
    this.perSample = (PIXELS_PER_MM * MM_PER_SECOND) / record.rate_hz;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.gain = GAINS_MM_PER_MV[0];
    this.base = null; // microvolts drawn at the middle, which moves to `aim`
  }

  draw(position, seconds) {
    const [context, width, height] = fitted(this.canvas);
    const colours = this.palette.page;
    const span = width / this.perSample;
    // Without motion the paper stands still and is turned page by page.
    const first = this.still.matches ? Math.floor(position / span) * span : position - span;
    const x = (sample) => (sample - first) * this.perSample;
    const paper = height - RIBBON;
    const middle = Math.round(paper / 2 / (5 * PIXELS_PER_MM)) * 5 * PIXELS_PER_MM;
    this.centre(Math.max(0, Math.floor(position - span)), Math.floor(position), middle, paper, seconds);

    context.fillStyle = colours.paper;
    context.fillRect(0, 0, width, height);
    this.grid(context, first, width, paper, middle);
    this.ribbon(context, x, first, position, width, paper, height);
    this.times(context, x, first, width, position);
    this.beats(context, x, first, position);
    this.trace(context, x, Math.max(0, Math.floor(first)), Math.floor(position), middle);
  }

  /**
   * Keeps the base line at the middle: it follows the median of what is seen when that has wandered far, for paper
   * that shifts all the time is hard to read. Takes the largest gain at which everything fits.
   */
  centre(from, to, middle, paper, seconds) {
    const { history } = this;
    const seen = [];
    const step = Math.max(1, Math.floor((to - from) / 500));
    for (let i = from; i < to; i += step) if (history.at(i) !== MISSING) seen.push(history.at(i));
    if (!seen.length) return;
    seen.sort((a, b) => a - b);
    const median = seen[seen.length >> 1];
    const beginning = to - from < 2 * this.record.rate_hz; // too little to tell
    if (this.base === null || beginning || Math.abs(median - this.aim) > WANDER_UV) this.aim = median;
    const jump = this.base === null || seconds === 0 || this.still.matches;
    this.base = jump ? this.aim : this.base + (this.aim - this.base) * (1 - Math.exp(-seconds / GLIDE_SECONDS));

    let up = 0, down = 0;
    for (let i = from; i < to; i++) {
      const value = history.at(i);
      if (value === MISSING) continue;
      up = Math.max(up, value - this.base);
      down = Math.max(down, this.base - value);
    }
    const fits = (gain, room) => {
      const pixels = (room * PIXELS_PER_MM * gain) / 1000;
      return up * pixels < middle - TIMES && down * pixels < paper - middle;
    };
    const i = GAINS_MM_PER_MV.indexOf(this.gain);
    if (!fits(this.gain, 1)) this.gain = GAINS_MM_PER_MV.find((gain) => fits(gain, 1)) ?? GAINS_MM_PER_MV.at(-1);
    else if (i > 0 && fits(GAINS_MM_PER_MV[i - 1], jump ? 1 : 1.15)) this.gain = GAINS_MM_PER_MV[i - 1];
  }

  grid(context, first, width, paper, middle) {
    const samplesPerMm = this.record.rate_hz / MM_PER_SECOND;
    for (const [millimetres, colour] of [[1, this.palette.page.millimetre], [5, this.palette.page.five]]) {
      context.beginPath();
      const across = millimetres * PIXELS_PER_MM;
      for (let k = Math.ceil(first / samplesPerMm / millimetres); ; k++) {
        const place = (k * millimetres * samplesPerMm - first) * this.perSample;
        if (place > width) break;
        context.moveTo(place, 0);
        context.lineTo(place, paper);
      }
      for (let y = middle % across; y < paper; y += across) {
        context.moveTo(0, y);
        context.lineTo(width, y);
      }
      context.strokeStyle = colour;
      context.lineWidth = millimetres === 1 ? 0.6 : 1;
      context.stroke();
    }
  }

  /** What was said at each moment about the ten seconds before it. */
  ribbon(context, x, first, position, width, paper, height) {
    const { decisions } = this.history, known = this.history.known(position);
    context.fillStyle = this.palette.page.line;
    context.fillRect(0, paper, width, height - paper);
    context.font = `600 12px ${this.palette.font}`;
    context.textBaseline = "middle";
    let i = Math.max(0, this.history.known(first) - 1);
    while (i < known) {
      let last = i; // the run of decisions that say the same
      while (last + 1 < known && decisions[last + 1].said === decisions[i].said) last++;
      const left = Math.max(x(decisions[i].at), 0);
      const right = Math.min(x(last + 1 < known ? decisions[last + 1].at : position), width);
      if (right > left) {
        context.fillStyle = this.palette.colour(decisions[i].said);
        context.fillRect(left, paper, right - left, height - paper);
        const label = decisions[i].said;
        if (context.measureText(label).width + 12 < right - left) {
          context.fillStyle = onColour(context.fillStyle);
          context.fillText(label, left + 6, (paper + height) / 2 + 0.5);
        }
      }
      i = last + 1;
    }
  }

  times(context, x, first, width, position) {
    const { rate_hz: rate, start_s: start } = this.record;
    context.font = `11px ${this.palette.font}`;
    context.textBaseline = "top";
    context.fillStyle = context.strokeStyle = this.palette.page.muted;
    context.lineWidth = 1;
    context.beginPath();
    for (let second = Math.ceil(start + Math.max(0, first / rate)); ; second++) {
      const place = x((second - start) * rate);
      if (place > width) break;
      context.moveTo(place, 0);
      context.lineTo(place, second % 2 ? 4 : 8);
      if (second % 2 === 0) context.fillText(clock(second), place + 4, 2);
    }
    context.stroke();
  }

  /** A mark above every beat, with its type where it is told and not normal. */
  beats(context, x, first, position) {
    context.fillStyle = this.palette.page.accent;
    context.font = `600 11px ${this.palette.font}`;
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const beat of this.history.beatsIn(Math.max(first, 0), position)) {
      const place = x(beat.at);
      context.beginPath();
      context.moveTo(place - 3.5, TIMES + 2);
      context.lineTo(place + 3.5, TIMES + 2);
      context.lineTo(place, TIMES + 8);
      context.fill();
      if (!"NQ".includes(beat.kind)) context.fillText(beat.kind, place, TIMES + 10);
    }
    context.textAlign = "start";
  }

  trace(context, x, from, to, middle) {
    const { history } = this, scale = (this.gain * PIXELS_PER_MM) / 1000;
    const y = (i) => middle - (history.at(i) - this.base) * scale;
    context.beginPath();
    let drawing = false;
    for (let i = from; i < to; i++) {
      if (history.at(i) === MISSING) drawing = false;
      else if (drawing) context.lineTo(x(i), y(i));
      else {
        context.moveTo(x(i), y(i));
        drawing = true;
      }
    }
    context.strokeStyle = this.palette.page.trace;
    context.lineWidth = 1.4;
    context.lineJoin = "round";
    context.stroke();
    if (drawing) {
      context.beginPath();
      context.arc(Math.min(x(to - 1), this.canvas.clientWidth - 4), y(to - 1), 3.5, 0, 2 * Math.PI);
      context.fillStyle = this.palette.page.accent;
      context.fill();
    }
  }
}

/** Black or white, whichever reads better on a colour #rrggbb (WCAG relative luminance). */
function onColour(colour) {
  const [red, green, blue] = [1, 3, 5].map((i) => {
    const value = parseInt(colour.slice(i, i + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000000" : "#ffffff";
}

class Monitor {
  constructor(source) {
    this.source = source;
    this.position = 0; // samples: what the page shows last
    this.head = 0; // the furthest position yet
    this.playing = false;
    this.speed = SPEEDS[0];
    this.search = null; // a jump that waits for the source
    this.rows = []; // of the events that the page has reached, oldest first
    this.spokenAt = -Infinity;
    this.drawn = null; // what the picture shows; null: draw anew
    this.told = null; // the decision that is shown; undefined where there is none yet
  }

  async start() {
    try {
      this.record = await this.source.open((reason) => this.lost(reason));
    } catch (error) {
      return this.lost(error.message);
    }
    this.history = new History(this.record);
    this.palette = new Palette(this.record);
    this.strip = new Strip(byId("strip"), this.record, this.history, this.palette);
    this.describe();
    this.listen();
    this.play(this.record.playing && (this.record.live || !this.strip.still.matches));
    if (this.record.live) this.source.listen((stretch) => this.take(stretch));
    requestAnimationFrame((now) => this.frame(now, now));
  }

  /** A stretch of a live source, or the news that it has fallen silent, was lost, is back, has ended. */
  take(stretch) {
    const before = this.history.received;
    this.history.add(stretch);
    if (!before) this.position = this.head = this.history.received;
    while (this.history.events.length > LIVE_EVENTS && this.rows.length > 1) {
      this.history.events.shift();
      this.rows.shift().remove();
    }
    if (stretch.latency_ms != null) byId("latency").textContent = `${Math.round(stretch.latency_ms)} ms`;
    if (!stretch.state || stretch.state === this.state) return;
    this.state = stretch.state;
    const said = {
      connected: this.record.description,
      silent: "the source is silent: waiting for it",
      lost: "the source was cut off: waiting for it to come back",
      ended: "the source has ended",
    }[stretch.state];
    const good = stretch.state === "connected";
    byId("subtitle").textContent = said + (good || !stretch.why ? "" : ` (${stretch.why})`);
    byId("subtitle").classList.toggle("bad", !good);
    byId("badge").textContent = good ? "live" : stretch.state;
    document.body.classList.toggle("waiting", !good);
    if (!good) this.say(said, true);
  }

  /** Moves evenly along with a live source, a quarter of a second behind what has come. */
  follow(seconds, now) {
    const { record, history } = this, rate = record.rate_hz;
    const target = history.received - BEHIND_SECONDS * rate, off = (target - this.position) / rate;
    if (Math.abs(off) > CATCH_UP_SECONDS) this.position = target;
    else this.position += seconds * rate * (1 + clamp(off, -0.5, 2));
    this.position = clamp(this.position, history.begin ?? 0, history.received);
    if (now - (this.reportedAt ?? 0) < REPORT_MS || this.state !== "connected") return;
    this.reportedAt = now;
    this.source.shown(Math.floor(this.position));
  }

  /** Seconds of the whole record at a sample of the part that is played. */
  seconds(sample) {
    return this.record.start_s + sample / this.record.rate_hz;
  }

  describe() {
    const { record } = this, window = record.window_samples / record.rate_hz, hop = record.hop_samples / record.rate_hz;
    document.title = `${record.title}: ecg-alq monitor`;
    byId("title").textContent = record.title;
    byId("subtitle").textContent = record.description;
    this.note = `colour: result for the ${window} seconds before that moment`;
    byId("strip-note").textContent = this.note;
    byId("explanation").textContent =
      `Every ${hop === 1 ? "second" : `${hop} seconds`} the network reads the last ${window} seconds and names one of ` +
      `${record.classes} rhythms. Below the mark on the confidence bar it names none. A poor signal is reported, not guessed at.`;
    document.body.classList.toggle("live", Boolean(record.live));
    for (const part of document.querySelectorAll("[data-of]")) {
      part.hidden = (part.dataset.of === "live") !== Boolean(record.live);
    }
    if (record.live) {
      this.state = "connected";
      if (record.recording) byId("recording-name").textContent = `recording to ${record.recording}`;
    }
    byId("position").max = record.samples ?? 0;
    byId("speed").append(...SPEEDS.map((speed) => new Option(`${speed}x`, speed)));
    byId("confidence-bar").style.setProperty("--threshold", percent(record.threshold).replace(" ", ""));
  }

  listen() {
    byId("play").onclick = () => this.play(!this.playing);
    byId("restart").onclick = () => this.jump(0);
    byId("previous").onclick = () => this.previousEvent();
    byId("next").onclick = () => this.nextEvent();
    byId("speed").onchange = (event) => this.setSpeed(Number(event.target.value));
    byId("position").oninput = (event) => this.jump(Number(event.target.value));
    byId("position").onkeydown = (event) => this.step(event);
    document.onkeydown = (event) => this.key(event);
    addEventListener("resize", () => (this.drawn = null));
  }

  key(event) {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !byId("shortcuts").checked) return;
    if (target.tagName === "SELECT") return;
    const live = this.record.live;
    const press = live && event.key !== " " ? null : {
      " ": ["BUTTON", "INPUT"].includes(target.tagName) && target.type !== "range" ? null : () => this.play(!this.playing),
      n: () => this.nextEvent(),
      p: () => this.previousEvent(),
      "+": () => this.faster(1),
      "=": () => this.faster(1),
      "-": () => this.faster(-1),
      Home: () => this.jump(0),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!press) return;
    event.preventDefault();
    press();
  }

  /** Arrow keys on the timeline move by seconds, not by samples. */
  step(event) {
    const seconds = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!seconds) return;
    event.preventDefault();
    this.jump(this.position + seconds * this.record.rate_hz);
  }

  faster(by) {
    this.setSpeed(SPEEDS[clamp(SPEEDS.indexOf(this.speed) + by, 0, SPEEDS.length - 1)]);
  }

  setSpeed(speed) {
    this.speed = speed;
    byId("speed").value = speed;
    this.say(`speed ${speed} times`, true);
  }

  play(playing) {
    if (playing && !this.record.live && this.position >= this.record.samples) this.jump(0);
    this.playing = playing;
    byId("play").classList.toggle("playing", playing);
    const [stop, go] = this.record.live ? ["Freeze", "Follow"] : ["Pause", "Play"];
    byId("play-label").textContent = playing ? stop : go;
  }

  previousEvent() {
    // An event that has only just been reached is not the one meant: a second press goes further back.
    const before = this.position - (this.playing ? 1.5 * this.record.rate_hz * this.speed : 1);
    const earlier = this.history.events.filter((event) => event.at < Math.min(before, this.position));
    this.jump(earlier.length ? earlier.at(-1).at : 0);
  }

  nextEvent() {
    const from = this.position;
    this.seek(() => this.history.events.find((event) => event.at > from)?.at, "no further event");
  }

  jump(to) {
    const target = clamp(Math.round(to), 0, this.record.samples);
    this.seek(() => (this.history.received >= target ? target : undefined));
  }

  /** Moves to the position that `found` gives, once enough has been received that it gives one. */
  seek(found, notFound = "") {
    this.search = { found, notFound };
    this.resolveSearch();
  }

  resolveSearch() {
    if (!this.search) return;
    const place = this.search.found();
    const ended = this.history.received >= this.record.samples;
    if (place !== undefined) {
      this.position = place;
      this.strip.base = null;
      this.drawn = null;
    } else if (ended) this.say(this.search.notFound, true);
    if (place !== undefined || ended) this.search = null;
    byId("next").setAttribute("aria-busy", String(Boolean(this.search)));
    byId("strip-note").textContent = this.search ? `looking ahead: ${clock(this.seconds(this.history.received))}` : this.note;
  }

  /** Asks for what is needed next, one request at a time. */
  async request() {
    if (this.asking || this.stopped) return;
    const { record, history } = this;
    const ahead = this.playing ? AHEAD_SECONDS * this.speed * record.rate_hz : 0;
    const wanted = this.search ? record.samples : Math.min(record.samples, Math.ceil(this.position + ahead));
    if (history.received >= wanted) return;
    this.asking = true;
    try {
      history.add(await this.source.advance(wanted));
    } catch {
      return; // the source is lost, which `lost` has said
    }
    this.asking = false;
    this.resolveSearch();
    if (this.search) this.request();
  }

  frame(now, before) {
    if (this.stopped) return;
    const seconds = Math.min((now - before) / 1000, 0.25); // a page that was hidden goes on where it stopped
    if (this.record.live) {
      if (this.playing) this.follow(seconds, now);
    } else if (this.playing && !this.search) {
      const reach = this.position + seconds * this.speed * this.record.rate_hz;
      this.position = Math.min(reach, Math.max(this.history.received, this.position));
      if (this.position >= this.record.samples) {
        this.play(false);
        this.say("end of the record", true);
      }
    }
    if (!this.record.live) this.request();
    if (this.palette.stale) {
      this.palette.read();
      this.drawn = null;
    }
    const drawn = `${this.position} ${this.history.received}`;
    if (drawn !== this.drawn) {
      const jumped = this.drawn === null;
      this.drawn = drawn;
      this.head = Math.max(this.head, this.position);
      this.strip.draw(this.position, jumped ? 0 : seconds);
      if (!this.record.live) this.overview();
      this.tell();
      this.list();
    }
    requestAnimationFrame((next) => this.frame(next, now));
  }

  /** The current rhythm, its confidence, the clock. */
  tell() {
    const { record, history } = this;
    const decision = history.decisions[history.known(this.position) - 1];
    const now = this.seconds(this.position);
    if (record.live) byId("clock").textContent = clock(now, true);
    else {
      const end = clock(this.seconds(record.samples));
      byId("clock").replaceChildren(clock(now, true), element("small", ` of ${end}`));
      byId("position").value = Math.round(this.position);
      byId("position").setAttribute("aria-valuetext", `${clock(now)} of ${end}`);
    }
    byId("heart-rate").replaceChildren(...this.heartRate());
    byId("scale").textContent = `${MM_PER_SECOND} mm/s, ${this.strip.gain} mm/mV, lead ${record.lead}`;
    if (decision === this.told) return;
    this.told = decision;
    document.documentElement.style.setProperty("--rhythm", decision ? this.palette.colour(decision.said) : "var(--line)");
    const window = record.window_samples / record.rate_hz;
    byId("rhythm").textContent = decision?.said ?? "listening";
    byId("rhythm-title").textContent = decision ? this.palette.title(decision.said) : `waiting for the first ${window} seconds`;
    this.gauge("confidence", decision?.confidence);
    this.gauge("quality", decision?.quality);
  }

  /** Beats a minute over the ten seconds before what is shown, of the mean interval; none across missing samples. */
  heartRate() {
    const { record, history } = this;
    const beats = history.beatsIn(this.position - RATE_SECONDS * record.rate_hz, this.position);
    const steps = beats.slice(1).flatMap((beat, i) => (beat.gap ? [] : [beat.at - beats[i].at]));
    if (steps.length < 2) return ["–"];
    const mean = steps.reduce((sum, step) => sum + step, 0) / steps.length;
    return [`${Math.round((60 * record.rate_hz) / mean)}`, element("small", " /min")];
  }

  gauge(name, share) {
    byId(name).textContent = share === undefined || share === null ? "–" : percent(share);
    byId(`${name}-bar`).style.setProperty("--share", `${100 * (share ?? 0)}%`);
  }

  /** The whole record in the colours of its rhythms, as far as it has been heard. */
  overview() {
    const [context, width, height] = fitted(byId("overview"));
    const { history, record } = this, known = history.known(this.head);
    const x = (sample) => (sample / record.samples) * width;
    context.clearRect(0, 0, width, height);
    for (let i = 0; i < known; ) {
      let last = i;
      while (last + 1 < known && history.decisions[last + 1].said === history.decisions[i].said) last++;
      const left = x(history.decisions[i].at), right = x(last + 1 < known ? history.decisions[last + 1].at : this.head);
      context.fillStyle = this.palette.colour(history.decisions[i].said);
      context.fillRect(left, 0, Math.max(right - left, 1), height);
      i = last + 1;
    }
  }

  /** Adds rows for the events that the page has reached; the newest is on top. */
  list() {
    const { events } = this.history, rate = this.record.rate_hz;
    for (let event; (event = events[this.rows.length]) && event.at <= this.head; ) {
      const row = document.createElement("tr");
      const jump = element("button", clock(this.seconds(event.at)));
      jump.type = "button";
      jump.setAttribute("aria-label", `jump to ${clock(this.seconds(event.at))}, ${event.said}`);
      jump.disabled = Boolean(this.record.live);
      jump.onclick = () => this.jump(event.at);
      const dot = element("span", "");
      dot.className = "dot";
      const long = element("span", this.palette.title(event.said));
      long.className = "long";
      const sureness = event.confidence === null ? "–" : percent(event.confidence);
      row.append(cell(jump), cell(dot, element("span", event.said), " ", long), cell(), cell(sureness));
      dot.style.setProperty("--colour", this.palette.colour(event.said));
      byId("events").prepend(row);
      this.rows.push(row);
      const sure = event.confidence === null ? "" : `, ${percent(event.confidence)}`;
      this.say(`${clock(this.seconds(event.at))}: ${event.said}, ${this.palette.title(event.said)}${sure}`);
    }
    const current = events.findLastIndex((event) => event.at <= this.position);
    this.rows.forEach((row, i) => {
      if (!row.over) {
        const end = Math.min(events[i + 1]?.at ?? Infinity, this.head);
        row.children[2].textContent = `${Math.round((end - events[i].at) / rate)} s`;
        row.over = end < this.head;
      }
      if ((i === current) !== row.hasAttribute("aria-current")) row.toggleAttribute("aria-current", i === current);
    });
    byId("events-table").hidden = !this.rows.length;
    byId("no-events").hidden = Boolean(this.rows.length);
    byId("events-number").textContent = this.rows.length || "";
  }

  /** For screen readers: what the user asked about at once, else the newest, not more often than one can listen. */
  say(text, urgent = false) {
    const speak = () => {
      this.spokenAt = performance.now();
      byId("announcement").textContent = text;
    };
    if (urgent) return speak();
    clearTimeout(this.speaking);
    this.speaking = setTimeout(speak, Math.max(0, this.spokenAt + SILENCE_MS - performance.now()));
  }

  lost(reason) {
    this.stopped = true;
    document.body.classList.add("waiting");
    byId("badge").textContent = "stopped";
    byId("subtitle").textContent = reason;
    byId("subtitle").classList.add("bad");
    byId("play").disabled = true;
    this.say(reason, true);
  }
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function cell(...content) {
  const made = document.createElement("td");
  made.append(...content);
  return made;
}

const recording = byId("recording");
new Monitor(recording ? new RecordedSource(recording) : new LiveSource()).start();
