// Marks like matplotlib's, for the explorer's map and for the exported one; both pages include this text.

/** Corners on a circle, the first at the top; `inner` shrinks every second one, `width` all of them across. */
function corners(count, size, { turned = 0, inner = 1, width = 1 } = {}) {
  return Array.from({ length: count }, (_, i) => {
    const angle = 2 * Math.PI * (i / count - 0.25 + turned);
    const radius = i % 2 ? size * inner : size;
    return [width * radius * Math.cos(angle), radius * Math.sin(angle)];
  });
}

const ARM = 0.42;
const PLUS = [[-ARM, -1.1], [ARM, -1.1], [ARM, -ARM], [1.1, -ARM], [1.1, ARM], [ARM, ARM], [ARM, 1.1], [-ARM, 1.1],
  [-ARM, ARM], [-1.1, ARM], [-1.1, -ARM], [-ARM, -ARM]];

/** The outlines of matplotlib's marks of the same names, for a radius of 1; a circle has none. */
const OUTLINES = {
  s: corners(4, 1.25, { turned: 0.125 }),
  D: corners(4, 1.2),
  d: corners(4, 1.3, { width: 0.65 }),
  "^": corners(3, 1.25),
  v: corners(3, 1.25, { turned: 0.5 }),
  "<": corners(3, 1.25, { turned: 0.75 }),
  ">": corners(3, 1.25, { turned: 0.25 }),
  p: corners(5, 1.15),
  h: corners(6, 1.15),
  "*": corners(10, 1.4, { inner: 0.45 }),
  P: PLUS,
  X: PLUS.map(([x, y]) => [(x - y) * Math.SQRT1_2, (x + y) * Math.SQRT1_2]),
};

/** Draw the mark of a style around a point, with the pen's colours. */
function drawMark(pen, style, x, y, radius) {
  pen.beginPath();
  if (style.mark in OUTLINES) {
    OUTLINES[style.mark].forEach(([a, b]) => pen.lineTo(x + radius * a, y + radius * b));
    pen.closePath();
  } else {
    pen.arc(x, y, radius, 0, 2 * Math.PI);
  }
  style.filled ? pen.fill() : pen.stroke();
}
