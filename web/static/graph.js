// The live graph of the dashboard: jobs per second, drawn anew at each refresh. Values are read with the pointer or, with
// the keyboard on the graph, with the arrow keys.

import { draw, make } from "./element.js";
import { interval } from "./live.js";
import { rates, take } from "./samples.js";
import { number, text } from "./texts.js";
import { formatExact, formatRelative, serverNow } from "./times.js";

const MARGIN = { top: 10, right: 8, bottom: 22, left: 44 };
const STEPS = [1, 2, 2.5, 3, 4, 5, 6, 8, 10];

const frame = document.querySelector("[data-live-graph]");
let points = [];
let chosen = null; // index of the point that is read

function niceTop(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return power * STEPS.find((step) => power * step >= most);
}

class Graph {
  constructor(parent) {
    this.svg = draw("svg", {
      class: "graph",
      tabindex: "0",
      role: "slider",
      "aria-label": `${text("processed")}, ${text("failures")}`,
      "aria-valuemin": "0",
    });
    this.reading = make("p", { class: "graph-reading" });
    parent.replaceChildren(this.svg, this.reading);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.choose(null));
    this.svg.addEventListener("blur", () => this.choose(null));
    this.svg.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.show()).observe(this.svg);
  }

  x(point) {
    const from = points[0].at;
    const span = Math.max(points.at(-1).at - from, 1);
    return MARGIN.left + ((point.at - from) / span) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    return this.height - MARGIN.bottom - (value / this.top) * (this.height - MARGIN.top - MARGIN.bottom);
  }

  show() {
    const box = this.svg.getBoundingClientRect();
    [this.width, this.height] = [box.width, box.height];
    if (!this.width) return;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.top = niceTop(Math.max(...points.map((point) => point.processed), 0));
    this.svg.replaceChildren(...this.scale(), ...(points.length ? this.curves() : []));
    this.read();
  }

  scale() {
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const y = this.y(this.top * share);
      parts.push(draw("line", { class: "grid", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y, y2: y }));
      parts.push(draw("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, number(this.top * share)));
    }
    if (points.length > 1) {
      const y = this.height - 4;
      const oldest = formatRelative(serverNow() - points[0].at);
      parts.push(draw("text", { x: MARGIN.left, y }, oldest));
      parts.push(draw("text", { x: this.width - MARGIN.right, y, "text-anchor": "end" }, text("now")));
    }
    return parts;
  }

  line(name) {
    return points.map((point, index) => `${index ? "L" : "M"}${this.x(point).toFixed(1)} ${this.y(point[name]).toFixed(1)}`).join("");
  }

  curves() {
    const processed = this.line("processed");
    const floor = this.y(0);
    const area = `${processed}L${this.x(points.at(-1))} ${floor}L${this.x(points[0])} ${floor}Z`;
    return [
      draw("path", { class: "graph-area", d: area }),
      draw("path", { class: "graph-line graph-failed", d: this.line("failed") }),
      draw("path", { class: "graph-line graph-processed", d: processed }),
      ...this.cursor(),
    ];
  }

  cursor() {
    const point = points[chosen ?? points.length - 1];
    const x = this.x(point);
    const dots = ["failed", "processed"].map((name) =>
      draw("circle", { class: `graph-dot graph-${name}`, cx: x, cy: this.y(point[name]), r: 4 }),
    );
    if (chosen === null) return dots;
    return [draw("line", { class: "graph-cursor", x1: x, x2: x, y1: MARGIN.top, y2: this.y(0) }), ...dots];
  }

  read() {
    const point = points[chosen ?? points.length - 1];
    let told;
    if (point) {
      const values = [
        `${text("processed")}: ${text("per-second", number(point.processed))}`,
        `${text("failures")}: ${text("per-second", number(point.failed))}`,
      ];
      if (chosen !== null) values.push(formatExact(new Date(point.at * 1000)));
      told = values.join(" · ");
    } else told = text(interval() ? "waiting" : "stopped");
    this.reading.replaceChildren(told);
    this.svg.setAttribute("aria-valuemax", String(Math.max(points.length - 1, 0)));
    this.svg.setAttribute("aria-valuenow", String(Math.max(chosen ?? points.length - 1, 0)));
    this.svg.setAttribute("aria-valuetext", told);
  }

  choose(index) {
    chosen = index;
    this.show();
  }

  point(event) {
    if (!points.length) return;
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    const distances = points.map((point) => Math.abs(this.x(point) - x));
    this.choose(distances.indexOf(Math.min(...distances)));
  }

  press(event) {
    const last = points.length - 1;
    const here = chosen ?? last;
    const there = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
    if (there === undefined || last < 0) return;
    event.preventDefault();
    this.choose(Math.min(Math.max(there, 0), last));
  }
}

const graph = frame ? new Graph(frame) : null;

function refresh() {
  const before = points.length;
  const last = points.at(-1)?.at;
  take();
  points = rates();
  // The point that is being read goes to the left with the curve.
  if (chosen !== null && points.at(-1)?.at !== last) chosen = Math.max(chosen - (points.length === before ? 1 : 0), 0);
  graph?.show();
}

refresh();
document.addEventListener("faktory:refreshed", refresh);
document.addEventListener("faktory:interval", () => graph?.read());
