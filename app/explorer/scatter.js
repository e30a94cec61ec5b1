// The picture of the map: points of a plane on a canvas. Plotly could draw it with WebGL, but Streamlit hands it every
// change as a new chart; this one keeps its canvas, so another colour is on the screen as soon as it has arrived.
//
// scatter.py makes `data` and explains it. A click, a box or a lasso sends back the ids of tokens.

const MARGIN = { left: 52, right: 10, top: 10, bottom: 42, bar: 66 };
const RADIUS = { muted: 2, faint: 2.6, full: 3.6 };
const OPACITY = { muted: 0.35, faint: 0.42, full: 0.9 };
const KINDS = ["muted", "muted", "faint", "full"]; // by the numbers in scatter.py; 0 cannot be selected by a box or lasso
const CROWD = { count: 1500, opacity: 0.35, radius: 0.15 }; // more points than this are fainter and smaller, by these powers
const LEAST_HEIGHT = 320;
const REACH = 9; // pixels between the pointer and a point under it
const DRAGGED = 4; // pixels from which a press is a drag and not a click
const TURN = Math.PI * 2;

/** An image of one mark, drawn once and then copied to every point that has it. */
function stamp(style, kind, scale, crowd) {
  const radius = RADIUS[kind] * crowd ** CROWD.radius;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2 * Math.ceil((1.5 * radius + 1.5) * scale);
  const pen = canvas.getContext("2d");
  pen.translate(canvas.width / 2, canvas.height / 2);
  pen.scale(scale, scale);
  pen.globalAlpha = OPACITY[kind] * crowd ** CROWD.opacity;
  pen.fillStyle = pen.strokeStyle = style.colour;
  pen.lineWidth = 1.3;
  drawMark(pen, style, 0, 0, radius);
  return canvas;
}

/** Numbers from the base64 of a little-endian array. */
function numbers(Kind, text) {
  return new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** About so many round numbers between two ends, with their texts. */
function ticks(low, high, about) {
  const rough = (high - low) / Math.max(about, 1);
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * ([1, 2, 5].find((factor) => factor * ten >= rough) ?? 10);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push((i * step).toFixed(decimals).replace("-", "−"));
  return found.map((text) => [Number(text.replace("−", "-")), text.replace(/^−(0(\.0*)?)$/, "$1")]);
}

/** Whether a point lies inside a closed line: a ray from it crosses the line an odd number of times. */
function inside(x, y, line) {
  let odd = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [line[i], line[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

/** Places on growing circles around one, itself first. */
function* nearby(x, y) {
  yield [x, y];
  for (let radius = 8; radius <= 160; radius += 8) {
    const count = Math.max(8, Math.round(radius / 3));
    for (let i = 0; i < count; i++) {
      const angle = (TURN * i) / count - TURN / 4;
      yield [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
    }
  }
}

class Scatter {
  constructor(frame) {
    this.frame = frame;
    this.canvas = frame.querySelector("canvas");
    this.plane = frame.querySelector(".plane");
    this.title = frame.querySelector(".title");
    this.tip = frame.querySelector(".tip");
    this.named = true;
    this.line = []; // where the pointer has been since it was pressed, in pixels
    this.canvas.places = () => this.places(); // for programs that drive the page, as the next
    this.canvas.outline = () => this.data.outline;
    for (const button of frame.querySelectorAll("button")) button.onclick = () => this.press(button.name);
    this.canvas.onpointerdown = (event) => this.pressed(event);
    this.canvas.onpointermove = (event) => this.moved(event);
    this.canvas.onpointerup = (event) => this.released(event);
    this.canvas.onpointercancel = () => this.drop();
    this.canvas.onpointerleave = () => this.hover(-1);
    this.canvas.ondblclick = () => this.press("whole");
    this.canvas.onkeydown = (event) => this.typed(event);
    this.canvas.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    new ResizeObserver(() => this.redraw()).observe(frame);
    addEventListener("resize", () => this.redraw());
    this.press("pan");
  }

  /** Draws new data; the view stays while the points are the same. */
  show(data, send) {
    const extra = JSON.stringify(data.extra.map(({ x, y }) => x + y).sort());
    const known = this.data?.plane === data.plane && this.extra === extra;
    this.extra = extra;
    this.data = data;
    this.send = send;
    this.x = numbers(Float32Array, data.x);
    this.y = numbers(Float32Array, data.y);
    this.style = numbers(Uint16Array, data.style);
    this.kind = numbers(Uint8Array, data.kind);
    this.order = KINDS.flatMap((_, kind) => this.pointsWhere((i) => this.kind[i] === kind)); // coloured above grey
    this.stamps = new Map();
    this.crowd = Math.min(1, CROWD.count / Math.max(1, this.pointsWhere((i) => this.kind[i] === 3).length));
    this.names = data.names.map((name) => ({ ...name, lines: name.lines.map((line) => numbers(Float32Array, line)) }));
    this.title.textContent = this.title.title = data.title;
    this.canvas.setAttribute("aria-label", data.label);
    if (!known) this.fit();
    this.hover(-1);
    this.draw();
  }

  /** The points for which a condition holds. */
  pointsWhere(holds) {
    const found = [];
    for (let i = 0; i < this.x.length; i++) if (holds(i)) found.push(i);
    return found;
  }

  /** Puts every point in view. */
  fit() {
    const ends = (values, extra) => {
      const low = [...extra, values.reduce((a, b) => Math.min(a, b), Infinity)].reduce((a, b) => Math.min(a, b));
      const high = [...extra, values.reduce((a, b) => Math.max(a, b), -Infinity)].reduce((a, b) => Math.max(a, b));
      const room = 0.05 * (high - low) || 1;
      return low <= high ? [low - room, high + room] : [-1, 1];
    };
    const { extra } = this.data;
    this.view = { x: ends(this.x, extra.map(({ x }) => x)), y: ends(this.y, extra.map(({ y }) => y)) };
    this.zoomed = 1;
  }

  // ---- drawing

  /** Draws once, before the next repaint. */
  redraw() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = undefined;
      if (this.data && this.frame.isConnected) this.draw();
    });
  }

  /** The height that fills the window below the picture's place on the page; on a phone, text follows below. */
  height() {
    const scrolled = document.querySelector('[data-testid="stMain"]')?.scrollTop ?? 0;
    const room = window.innerHeight - this.plane.getBoundingClientRect().top - scrolled - 18;
    const phone = window.innerWidth < 640;
    return Math.round(Math.max(LEAST_HEIGHT, phone ? Math.min(room - 150, 1.15 * this.frame.clientWidth) : room));
  }

  draw() {
    const width = this.frame.clientWidth;
    const height = this.height();
    this.plane.style.height = `${height}px`;
    const scale = window.devicePixelRatio || 1;
    if (!width) return; // the page is hidden
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    if (this.scale !== scale) this.stamps = new Map();
    this.scale = scale;
    const right = this.data.scale ? MARGIN.bar : MARGIN.right;
    this.box = {
      left: MARGIN.left,
      top: MARGIN.top,
      right: Math.max(width - right, MARGIN.left + 1),
      bottom: height - MARGIN.bottom,
    };
    this.place();
    const pen = this.canvas.getContext("2d");
    const css = getComputedStyle(this.frame);
    const ink = css.color;
    const page = css.getPropertyValue("--st-background-color") || "#fff";
    this.checkTheme(ink);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${css.fontFamily}`;
    this.drawAxes(pen, ink);
    pen.save();
    pen.beginPath();
    pen.rect(this.box.left, this.box.top, this.box.right - this.box.left, this.box.bottom - this.box.top);
    pen.clip();
    this.drawPoints(pen);
    if (this.named) this.drawOutlines(pen, page);
    this.drawRings(pen);
    this.drawLine(pen, ink);
    if (this.named) this.drawNames(pen, css.fontFamily, page);
    this.drawExtra(pen, page);
    pen.restore();
    if (this.data.scale) this.drawScale(pen, ink);
  }

  /** Asks for other colours, once, if the page is no longer as light or dark as they were made for. */
  checkTheme(ink) {
    const [red, green, blue] = ink.match(/[\d.]+/g).map(Number);
    const dark = red + green + blue > 3 * 128;
    if (dark !== this.data.dark && dark !== this.asked) this.send("theme", dark);
    this.asked = dark;
  }

  /** Computes where the points are, in pixels. */
  place() {
    this.px = this.x.map((x) => this.across(x));
    this.py = this.y.map((y) => this.down(y));
  }

  /** A coordinate of the plane in pixels. */
  across(x) {
    const [low, high] = this.view.x;
    return this.box.left + ((x - low) / (high - low)) * (this.box.right - this.box.left);
  }

  down(y) {
    const [low, high] = this.view.y;
    return this.box.bottom - ((y - low) / (high - low)) * (this.box.bottom - this.box.top);
  }

  /** What lies at a pixel of the picture. */
  coordinates(x, y) {
    const { left, top, right, bottom } = this.box;
    const between = ([low, high], share) => low + share * (high - low);
    return [between(this.view.x, (x - left) / (right - left)), between(this.view.y, (bottom - y) / (bottom - top))];
  }

  drawAxes(pen, ink) {
    const { left, top, right, bottom } = this.box;
    const rule = (x0, y0, x1, y1) => {
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.lineTo(x1, y1);
      pen.stroke();
    };
    pen.fillStyle = pen.strokeStyle = ink;
    pen.lineWidth = 1;
    const [x0, x1] = this.view.x;
    const [y0, y1] = this.view.y;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const [value, text] of ticks(x0, x1, (right - left) / 90)) {
      const x = Math.round(left + ((value - x0) / (x1 - x0)) * (right - left)) + 0.5;
      pen.globalAlpha = 0.1;
      rule(x, top, x, bottom);
      pen.globalAlpha = 0.75;
      pen.fillText(text, x, bottom + 6);
    }
    pen.fillText(this.data.axes[0], (left + right) / 2, bottom + 24);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const [value, text] of ticks(y0, y1, (bottom - top) / 60)) {
      const y = Math.round(bottom - ((value - y0) / (y1 - y0)) * (bottom - top)) + 0.5;
      pen.globalAlpha = 0.1;
      rule(left, y, right, y);
      pen.globalAlpha = 0.75;
      pen.fillText(text, left - 7, y);
    }
    pen.save();
    pen.translate(10, (top + bottom) / 2);
    pen.rotate(-TURN / 4);
    pen.textAlign = "center";
    pen.fillText(this.data.axes[1], 0, 0);
    pen.restore();
    pen.globalAlpha = 1;
  }

  drawPoints(pen) {
    const { left, top, right, bottom } = this.box;
    const scale = this.scale;
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0); // whole pixels of the screen, so that marks stay sharp
    for (const i of this.order) {
      const [x, y] = [this.px[i], this.py[i]];
      if (x < left - 6 || x > right + 6 || y < top - 6 || y > bottom + 6) continue;
      const kind = KINDS[this.kind[i]];
      const key = kind === "muted" ? -1 : 2 * this.style[i] + (kind === "full");
      let mark = this.stamps.get(key);
      if (!mark) {
        const style = key < 0 ? { colour: this.data.muted, mark: "o", filled: true } : this.data.styles[this.style[i]];
        this.stamps.set(key, (mark = stamp(style, kind, scale, this.crowd)));
      }
      pen.drawImage(mark, Math.round(x * scale - mark.width / 2), Math.round(y * scale - mark.height / 2));
    }
    pen.restore();
  }

  /** Stars with names for what is no token, the last one larger. */
  drawExtra(pen, page) {
    const { extra, ring } = this.data;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.strokeStyle = page;
    pen.fillStyle = ring;
    extra.forEach(({ x, y, text }, i) => {
      const size = i === extra.length - 1 ? 9 : 5.5;
      const [across, down] = [this.across(x), this.down(y)];
      pen.font = `${size > 6 ? 700 : 400} ${size > 6 ? 14 : 11}px ${getComputedStyle(this.frame).fontFamily}`;
      pen.lineWidth = 3;
      pen.beginPath();
      for (const [dx, dy] of OUTLINES["*"]) pen.lineTo(across + size * dx, down + size * dy);
      pen.closePath();
      pen.stroke();
      pen.fill();
      pen.strokeText(text, across + size + 5, down);
      pen.fillText(text, across + size + 5, down);
    });
  }

  /** Lines around the middle of each class. */
  drawOutlines(pen, page) {
    pen.lineJoin = "round";
    for (const { style, lines } of this.names) {
      for (const line of lines) {
        pen.beginPath();
        for (let i = 0; i < line.length; i += 2) pen.lineTo(this.across(line[i]), this.down(line[i + 1]));
        for (const [colour, width] of [[page, 4], [this.data.styles[style].colour, 1.8]]) {
          pen.strokeStyle = colour;
          pen.lineWidth = width;
          pen.stroke();
        }
      }
    }
  }

  /** The names of the classes at their means, or as near as they fit; a line leads from a name to a mean farther off. */
  drawNames(pen, family, page) {
    const { left, top, right, bottom } = this.box;
    const dense = this.names.length > 20;
    pen.font = `600 ${dense ? 12 : 14}px ${family}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    const high = dense ? 14 : 18;
    const taken = [];
    for (const { text, style, x, y } of this.names) {
      const [meanX, meanY] = [this.across(x), this.down(y)];
      if (meanX < left || meanX > right || meanY < top || meanY > bottom) continue;
      const half = pen.measureText(text).width / 2 + 3;
      const fits = (x, y) =>
        x - half >= left && x + half <= right && y - high / 2 >= top && y + high / 2 <= bottom &&
        taken.every((other) => Math.abs(x - other.x) >= half + other.half || Math.abs(y - other.y) >= high);
      for (const [x, y] of nearby(meanX, meanY)) {
        if (!fits(x, y)) continue;
        taken.push({ x, y, half, text, style, meanX, meanY });
        break;
      }
    }
    for (const { x, y, meanX, meanY, style } of taken) {
      if (Math.hypot(x - meanX, y - meanY) < high) continue;
      pen.strokeStyle = this.data.styles[style].colour;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(meanX, meanY);
      pen.stroke();
    }
    pen.strokeStyle = page;
    pen.lineWidth = 4;
    for (const { x, y, text, style } of taken) {
      pen.fillStyle = this.data.dark ? this.data.styles[style].colour : this.data.styles[style].text;
      pen.strokeText(text, x, y);
      pen.fillText(text, x, y);
    }
  }

  drawRings(pen) {
    pen.strokeStyle = this.data.ring;
    for (const { points, radius, width } of this.data.rings) {
      pen.lineWidth = width;
      for (const i of points) {
        pen.beginPath();
        pen.arc(this.px[i], this.py[i], radius, 0, TURN);
        pen.stroke();
      }
    }
  }

  /** The box or lasso that is being drawn, or the last one, while what it surrounded is selected. */
  drawLine(pen, ink) {
    const drawing = this.mode !== "pan" && this.line.length > 1;
    const corners = drawing ? this.outline() : this.data.outline.map(([x, y]) => [this.across(x), this.down(y)]);
    if (!corners.length) return;
    pen.strokeStyle = pen.fillStyle = ink;
    pen.lineWidth = 1.2;
    pen.setLineDash([5, 3]);
    pen.beginPath();
    for (const [x, y] of corners) pen.lineTo(x, y);
    pen.closePath();
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 0.06;
    pen.fill();
    pen.globalAlpha = 1;
  }

  /** The colour bar of numbers. */
  drawScale(pen, ink) {
    const { low, high, unit } = this.data.scale;
    const { right, top, bottom } = this.box;
    const [x, width, height] = [right + 14, 12, bottom - top - 20];
    const styles = this.data.styles;
    const step = height / styles.length;
    styles.forEach(({ colour }, i) => {
      pen.fillStyle = colour;
      pen.fillRect(x, bottom - (i + 1) * step, width, step + 0.5);
    });
    pen.fillStyle = ink;
    pen.globalAlpha = 0.75;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    for (const [value, text] of ticks(low, high, 6)) {
      pen.fillText(text, x + width + 5, bottom - ((value - low) / (high - low)) * height);
    }
    pen.fillText(unit, x, top + 6);
    pen.globalAlpha = 1;
  }

  // ---- pointer and keys

  /** Reacts to a button above the picture. */
  press(name) {
    if (name === "whole") {
      this.fit();
      this.draw();
    } else if (name === "save") {
      this.save();
    } else if (name === "names") {
      this.named = !this.named;
      this.frame.querySelector("button[name=names]").setAttribute("aria-pressed", String(this.named));
      this.redraw();
    } else {
      this.mode = name;
      this.canvas.style.cursor = name === "pan" ? "grab" : "crosshair";
      for (const button of this.frame.querySelectorAll("button[aria-pressed]:not([name=names])")) {
        button.setAttribute("aria-pressed", String(button.name === name));
      }
    }
  }

  at(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  pressed(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.line = [this.at(event)];
    this.from = { x: [...this.view.x], y: [...this.view.y] };
    this.far = false;
  }

  moved(event) {
    const [x, y] = this.at(event);
    if (!this.line.length) return this.hover(this.nearest(x, y));
    const [fromX, fromY] = this.line[0];
    this.far ||= Math.hypot(x - fromX, y - fromY) >= DRAGGED;
    if (!this.far) return;
    this.hover(-1);
    if (this.mode === "pan") {
      this.shift((fromX - x) / (this.box.right - this.box.left), (y - fromY) / (this.box.bottom - this.box.top));
      return;
    }
    this.line.push([x, y]);
    this.redraw();
  }

  released(event) {
    if (!this.line.length) return;
    const [x, y] = this.at(event);
    if (!this.far) {
      const point = this.nearest(x, y);
      if (point >= 0) this.select([point]);
      else if (this.data.selected) this.select([]);
    } else if (this.mode !== "pan") {
      this.line.push([x, y]);
      const around = this.outline();
      const points = this.pointsWhere((i) => this.kind[i] > 0 && inside(this.px[i], this.py[i], around));
      this.data.outline = around.map(([x, y]) => this.coordinates(x, y)); // until the selection arrives
      this.select(points, this.data.outline);
    }
    this.drop();
  }

  drop() {
    this.line = [];
    this.redraw();
  }

  /** The corners of the box between press and pointer, or the line of the lasso. */
  outline() {
    if (this.mode === "lasso") return this.line;
    const [[x0, y0], [x1, y1]] = [this.line[0], this.line[this.line.length - 1]];
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  }

  /** Moves the view by shares of the picture from where it was when the pointer was pressed. */
  shift(across, up) {
    const moved = ([low, high], share) => [low + share * (high - low), high + share * (high - low)];
    this.view = { x: moved(this.from.x, across), y: moved(this.from.y, up) };
    this.redraw();
  }

  /** Makes the view `times` as wide around a place in pixels, within the precision of numbers. */
  zoom(times, x, y) {
    if (this.zoomed * times < 1e-5 || this.zoomed * times > 100) return;
    this.zoomed *= times;
    const { left, top, right, bottom } = this.box;
    const around = ([low, high], share) => {
      const fixed = low + share * (high - low);
      return [fixed + (low - fixed) * times, fixed + (high - fixed) * times];
    };
    this.view = {
      x: around(this.view.x, (x - left) / (right - left)),
      y: around(this.view.y, (bottom - y) / (bottom - top)),
    };
    this.redraw();
  }

  wheeled(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoom(Math.exp(Math.max(-120, Math.min(120, lines * event.deltaY)) * 0.002), ...this.at(event));
  }

  typed(event) {
    const { left, top, right, bottom } = this.box;
    const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    const times = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key];
    this.from = this.view;
    if (event.key in steps) this.shift(...steps[event.key]);
    else if (times) this.zoom(times, (left + right) / 2, (top + bottom) / 2);
    else if (event.key === "0") this.press("whole");
    else if (event.key === "Escape") this.select([]);
    else return;
    event.preventDefault();
  }

  /** The point under the pointer: the nearest within reach, preferably coloured; -1 if there is none. */
  nearest(x, y) {
    let [found, least] = [-1, Infinity];
    for (let i = 0; i < this.px.length; i++) {
      const away = Math.hypot(this.px[i] - x, this.py[i] - y);
      const worth = KINDS[this.kind[i]] === "muted" ? away + REACH : away;
      if (away < REACH && worth < least) [found, least] = [i, worth];
    }
    return found;
  }

  /** Shows the text of a point beside it; of none for -1. */
  hover(point) {
    this.tip.hidden = point < 0;
    if (this.mode === "pan") this.canvas.style.cursor = point < 0 ? "grab" : "pointer";
    if (point < 0) return;
    const [first, ...others] = this.data.hover[point].split("\n");
    const strong = document.createElement("strong");
    strong.textContent = first;
    this.tip.replaceChildren(strong, ...others.map((text) => Object.assign(document.createElement("div"), { textContent: text })));
    const [x, y] = [this.px[point], this.py[point]];
    const { offsetWidth, offsetHeight } = this.tip;
    this.tip.style.left = `${x + 12 + offsetWidth > this.frame.clientWidth ? x - 12 - offsetWidth : x + 12}px`;
    this.tip.style.top = `${Math.max(0, Math.min(y - offsetHeight / 2, this.canvas.clientHeight - offsetHeight))}px`;
  }

  /** Sends the tokens of these points, and the line around them. */
  select(points, outline = []) {
    this.send("selected", { tokens: points.map((i) => this.data.tokens[i]), outline });
  }

  /** Tokens, where they are on the screen, and whether they are in colour. */
  places() {
    const { left, top } = this.canvas.getBoundingClientRect();
    const place = (token, i) => ({ token, x: left + this.px[i], y: top + this.py[i], lit: this.kind[i] > 1 });
    return this.data.tokens.map(place);
  }

  /** The picture as a PNG file, on the page's background. */
  save() {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [this.canvas.width, this.canvas.height];
    const pen = copy.getContext("2d");
    pen.fillStyle = getComputedStyle(this.frame).getPropertyValue("--st-background-color") || "#fff";
    pen.fillRect(0, 0, copy.width, copy.height);
    pen.drawImage(this.canvas, 0, 0);
    copy.toBlob((file) => {
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: "map.png" });
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
}

const pictures = new WeakMap();
const whenIdle = window.requestIdleCallback ?? ((call) => setTimeout(call, 500)); // missing in Safari

export default function ({ data, parentElement, setTriggerValue }) {
  const frame = parentElement.querySelector(".scatter");
  if (!pictures.has(frame)) {
    pictures.set(frame, new Scatter(frame));
    if (!data.seen) whenIdle(() => setTriggerValue("seen", true), { timeout: 5000 });
  }
  pictures.get(frame).show(data, setTriggerValue);
}
