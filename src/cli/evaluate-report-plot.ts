/** Square drawings from 0 to 1 for the page of an evaluation. */

export const SIDE = 320;
export const MARGIN = { left: 44, right: 12, top: 12, bottom: 36 } as const;

const width = SIDE - MARGIN.left - MARGIN.right;
const height = SIDE - MARGIN.top - MARGIN.bottom;
export const x = (value: number): string => (MARGIN.left + value * width).toFixed(1);
export const y = (value: number): string => (MARGIN.top + (1 - value) * height).toFixed(1);

export const path = (points: readonly { x: number; y: number }[], colour: string, dashed = false): string =>
  `<polyline fill="none"${dashed ? ' stroke-dasharray="5 3"' : ''} stroke="${colour}" stroke-width="2" points="${points.map((p) => `${x(p.x)},${y(p.y)}`).join(' ')}"/>`;

/** Unit square with the diagonal. */
export function plot(xLabel: string, yLabel: string, inside: string): string {
  const ticks = [0, 0.5, 1]
    .map(
      (t) =>
        `<text x="${x(t)}" y="${SIDE - 20}" text-anchor="middle">${t}</text><text x="${MARGIN.left - 6}" y="${y(t)}" dy=".35em" text-anchor="end">${t}</text>`,
    )
    .join('');
  return `<svg width="${SIDE}" height="${SIDE}" role="img" aria-label="${yLabel} over ${xLabel}">
<rect x="${MARGIN.left}" y="${MARGIN.top}" width="${width}" height="${height}" fill="none" stroke="var(--line)"/>
<line x1="${x(0)}" y1="${y(0)}" x2="${x(1)}" y2="${y(1)}" stroke="var(--line)" stroke-dasharray="4"/>${ticks}${inside}
<text x="${x(0.5)}" y="${SIDE - 4}" text-anchor="middle">${xLabel}</text>
<text transform="translate(12 ${y(0.5)}) rotate(-90)" text-anchor="middle">${yLabel}</text></svg>`;
}
