/** What `precess pretrain --objective` names; "mae" has a recipe of its own. */
export const OBJECTIVES = ['dino', 'joint', 'slip', 'mae'] as const;
export type Pretraining = (typeof OBJECTIVES)[number];
