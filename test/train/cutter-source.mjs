// A source of volumes for threads that cut views: what it is told are the grey values of each series.
export function openSource(levels) {
  return {
    async volume(id) {
      const data = new Float32Array(40 * 30 * 20).map((_, n) => levels[id] + ((7 * n) % 41) + (n % 40));
      if (levels[id] === 0) data.fill(0);
      const affine = [
        [4, 0, 0, 0],
        [0, 4, 0, 0],
        [0, 0, 4, 0],
        [0, 0, 0, 1],
      ];
      return { data, shape: [40, 30, 20], affine, slope: 1, intercept: 0, valid: null };
    },
  };
}
