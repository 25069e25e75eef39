// Volumes that lie in shared memory, by the id of their series; what the cutters of bench/gpu/pretrain.mjs read.
export const openSource = (volumes) => ({
  async volume(id) {
    return volumes[id];
  },
});
