// A grid of tokens: a click plays one or goes to it; a button plays all of them, one after the other.
// token_grid.py makes `data` and explains it.

const PAUSE_MS = 120;
const SVG = "http://www.w3.org/2000/svg";

function element(name, className, parts = []) {
  const made = Object.assign(document.createElement(name), { className });
  made.append(...parts);
  return made;
}

function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.append(Object.assign(document.createElementNS(SVG, "path")));
  svg.firstChild.setAttribute("d", path);
  return svg;
}

class Grid {
  constructor(root) {
    this.cells = root.querySelector(".cells");
    this.row = root.querySelector(".row");
    this.row.onclick = () => (this.playing ? this.stop() : this.playAll());
    this.turn = 0; // of what is played now; earlier turns end
  }

  show({ cells, click, icons }, send) {
    const content = JSON.stringify([cells.map(({ token, note }) => [token, note]), click]);
    this.send = send;
    if (content === this.content) return;
    this.stop();
    this.content = content;
    this.icons = icons;
    this.row.hidden = cells.filter((cell) => cell.sound).length < 2;
    this.players = cells.map((cell) => this.cell(cell, click));
    this.cells.replaceChildren(...this.players.map((player) => player.element));
  }

  cell({ token, label, note, title, image, sound }, click) {
    const picture = image ? [Object.assign(new Image(), { src: `data:image/png;base64,${image}`, alt: "" })] : [];
    const name = Object.assign(element("span", "name"), { textContent: label });
    const below = Object.assign(element("span", "note"), { textContent: note });
    const button = Object.assign(element("button", "token", [...picture, name, below]), { title, type: "button" });
    const player = { element: element("div", "cell", [button]), sound: sound && `data:audio/wav;base64,${sound}` };
    const go = () => this.send("go", token);
    const play = () => this.playOne(player);
    button.onclick = click === "go" || !sound ? go : play;
    if (sound) {
      const what = click === "go" ? "play" : "go";
      const other = Object.assign(element("button", "other", [icon(this.icons[what])]), { type: "button" });
      other.title = click === "go" ? `Play ${label}` : `Go to ${label}`;
      other.setAttribute("aria-label", other.title);
      other.onclick = click === "go" ? play : go;
      player.element.append(other);
    }
    return player;
  }

  async playOne(player) {
    this.stop();
    await this.heard(player, this.turn);
  }

  async playAll() {
    this.stop();
    const turn = this.turn;
    this.mark(true);
    for (const player of this.players.filter(({ sound }) => sound)) {
      await this.heard(player, turn);
      if (turn !== this.turn) return;
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
    if (turn === this.turn) this.mark(false);
  }

  /** Plays one and returns when it has ended, or when something else is played. */
  heard(player, turn) {
    return new Promise((done) => {
      const audio = (this.audio = new Audio(player.sound));
      const end = () => {
        player.element.classList.remove("playing");
        done();
      };
      player.element.classList.add("playing");
      if (this.playing) player.element.scrollIntoView({ block: "nearest" });
      audio.onended = audio.onpause = audio.onerror = end;
      audio.play().catch(end);
      if (turn !== this.turn) audio.pause();
    });
  }

  stop() {
    this.turn += 1;
    this.audio?.pause();
    this.mark(false);
  }

  mark(playing) {
    this.playing = playing;
    this.row.setAttribute("aria-pressed", String(playing));
    if (this.icons) this.row.querySelector("path").setAttribute("d", this.icons[playing ? "stop" : "play"]);
    this.row.querySelector("span").textContent = playing ? "Stop" : "Play in a row";
  }
}

const grids = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".grid");
  if (!grids.has(root)) grids.set(root, new Grid(root));
  grids.get(root).show(data, setTriggerValue);
  return () => grids.get(root)?.stop();
}
