// A line that moves over a picture of time while its audio plays, buttons that play and loop the stretch in view, and
// labels of narrow segments while the pointer is on them (Plotly's own hover). playback.py explains `data`.

/** The element with this Streamlit key, or null while the page does not show it. */
const keyed = (key) => document.querySelector(`.st-key-${CSS.escape(key)}`);

class Playback {
  constructor(bar) {
    this.bar = bar;
    this.line = document.createElement("div");
    this.line.className = "playback-line";
    Object.assign(this.line.style, {
      position: "absolute", width: "2px", pointerEvents: "none", zIndex: 5, display: "none", background: "#E6007A",
    });
    this.loop = false;
    this.end = null; // where a stretch ends that is played by itself, in seconds of the recording
    this.playing = null; // the audio element that was started last
    bar.querySelector("[name=play]").onclick = () => this.playShown();
    bar.querySelector("[name=loop]").onclick = (event) => {
      this.loop = !this.loop;
      event.currentTarget.setAttribute("aria-pressed", String(this.loop));
    };
    this.onPlay = (event) => {
      if (!(event.target instanceof HTMLAudioElement) || !this.players().includes(event.target)) return;
      if (event.target !== this.playing) this.end = null;
      this.playing = event.target;
    };
    document.addEventListener("play", this.onPlay, true);
    const step = () => {
      if (!this.bar.isConnected) return this.remove();
      this.draw();
      this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  remove() {
    cancelAnimationFrame(this.frame);
    document.removeEventListener("play", this.onPlay, true);
    this.line.remove();
  }

  players() {
    return this.data.audio.flatMap((key) => [...(keyed(key)?.querySelectorAll("audio") ?? [])]);
  }

  plot() {
    return keyed(this.data.chart)?.querySelector(".js-plotly-plot");
  }

  /** Start and end of what the picture shows, in seconds of the recording. */
  shown() {
    const range = this.plot()?._fullLayout?.xaxis?.range ?? [this.data.start, this.data.stop];
    return [Math.max(this.data.start, Number(range[0])), Math.min(this.data.stop, Number(range[1]))];
  }

  playShown() {
    const audio = this.players()[0];
    if (!audio) return;
    if (this.playing && !this.playing.paused) {
      this.playing.pause();
      return;
    }
    const [from, to] = this.shown();
    this.end = to;
    this.playing = audio;
    audio.currentTime = from - this.data.start;
    audio.play();
  }

  draw() {
    const plot = this.plot();
    const audio = this.playing ?? this.players()[0];
    const axis = plot?._fullLayout?.xaxis;
    const time = this.bar.querySelector("output");
    if (!audio || !axis || !audio.isConnected) {
      this.line.style.display = "none";
      return;
    }
    const [from, to] = this.shown();
    let at = this.data.start + audio.currentTime;
    const end = this.end ?? (this.loop ? to : null);
    if (!audio.paused && end !== null && at >= Math.min(end, this.data.stop) - 0.01) {
      if (this.loop) audio.currentTime = from - this.data.start;
      else audio.pause();
    }
    if (audio.ended && this.loop) {
      audio.currentTime = from - this.data.start;
      audio.play();
    }
    at = this.data.start + audio.currentTime;
    time.textContent = `${at.toFixed(2)} s`;
    const size = plot._fullLayout._size;
    if (this.line.parentElement !== plot) {
      plot.style.position = "relative";
      plot.append(this.line);
    }
    const x = axis._offset + axis.l2p(at);
    const inside = x >= axis._offset - 1 && x <= axis._offset + axis._length + 1 && (audio.currentTime > 0 || !audio.paused);
    Object.assign(this.line.style, {
      display: inside ? "block" : "none", left: `${x - 1}px`, top: `${size.t}px`, height: `${size.h}px`,
    });
    this.bar.querySelector("[name=play]").setAttribute("aria-pressed", String(!audio.paused));
  }
}

const all = new WeakMap();

export default function ({ data, parentElement }) {
  const bar = parentElement.querySelector(".playback");
  if (!all.has(bar)) all.set(bar, new Playback(bar));
  all.get(bar).data = data;
}
