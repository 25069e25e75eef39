// Score against compute, one line a run, as SVG without a library: two panels, floating-point operations and seconds.

const COLOURS = { precess: '#0b6e99', plain: '#c2410c' };
const WIDTH = 860;
const HEIGHT = 360;
const PANEL = { left: 60, top: 34, width: 340, height: 260, gap: 70 };

const round = (value) => Number(value.toFixed(1));

function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, n) => (first + n) * step);
}

const label = (value) => {
  for (const [unit, letter] of [
    [1e15, 'P'],
    [1e12, 'T'],
    [1e9, 'G'],
    [1e3, 'k'],
  ])
    if (value >= unit) return `${Number((value / unit).toPrecision(3))}${letter}`;
  return String(Number(value.toPrecision(3)));
};

/** runs: [{ arm, points: [{ flops, seconds, score }] }] */
export function plot(runs, title) {
  const scores = runs.flatMap(({ points }) => points.map(({ score }) => score));
  const [low, high] = [Math.min(...scores) - 0.01, Math.max(...scores) + 0.01];
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${PANEL.left}" y="20" font-size="14" font-weight="bold">${title}</text>`,
  ];
  [
    ['flops', 'training compute, floating-point operations'],
    ['seconds', 'wall time, seconds'],
  ].forEach(([key, name], panel) => {
    const left = PANEL.left + panel * (PANEL.width + PANEL.gap);
    const bottom = PANEL.top + PANEL.height;
    const most = Math.max(...runs.flatMap(({ points }) => points.map((point) => point[key])), 1e-9);
    const x = (value) => round(left + (value / most) * PANEL.width);
    const y = (value) => round(bottom - ((value - low) / (high - low)) * PANEL.height);
    for (const tick of ticks(low, high, 5))
      parts.push(
        `<line x1="${left}" x2="${left + PANEL.width}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ddd"/>`,
        `<text x="${left - 6}" y="${y(tick) + 4}" text-anchor="end">${Number(tick.toFixed(3))}</text>`,
      );
    for (const tick of ticks(0, most, 4))
      parts.push(`<text x="${x(tick)}" y="${bottom + 18}" text-anchor="middle">${label(tick)}</text>`);
    parts.push(
      `<line x1="${left}" x2="${left + PANEL.width}" y1="${bottom}" y2="${bottom}" stroke="#333"/>`,
      `<text x="${left + PANEL.width / 2}" y="${bottom + 38}" text-anchor="middle">${name}</text>`,
    );
    for (const { arm, points } of runs) {
      const line = points.map((point) => `${x(point[key])},${y(point.score)}`).join(' ');
      parts.push(`<polyline points="${line}" fill="none" stroke="${COLOURS[arm]}" stroke-width="1.6"/>`);
      for (const point of points)
        parts.push(`<circle cx="${x(point[key])}" cy="${y(point.score)}" r="2.5" fill="${COLOURS[arm]}"/>`);
    }
  });
  Object.entries(COLOURS).forEach(([arm, colour], n) => {
    const at = WIDTH - 170 + n * 80;
    parts.push(
      `<rect x="${at}" y="10" width="12" height="12" fill="${colour}"/>`,
      `<text x="${at + 17}" y="20">${arm}</text>`,
    );
  });
  parts.push('</svg>');
  return `${parts.join('\n')}\n`;
}
