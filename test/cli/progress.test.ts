import { describe, expect, it } from 'vitest';
import { secondsLeft } from '../../src/cli/shared.js';

describe('the time that is left', () => {
  it('is told by the pace since the first one, wherever the work began', () => {
    // The first of 100 took 9 s to get going, the next ten 2 s each.
    expect(secondsLeft({ done: 1, seconds: 9 }, { done: 11, seconds: 29 }, 100)).toBe(2 * 89);
    // The same, resumed at 400 of 500.
    expect(secondsLeft({ done: 401, seconds: 9 }, { done: 411, seconds: 29 }, 500)).toBe(2 * 89);
  });

  it('is not told before there is a pace, nor after the end', () => {
    expect(secondsLeft({ done: 401, seconds: 9 }, { done: 401, seconds: 12 }, 500)).toBeNull();
    expect(secondsLeft({ done: 1, seconds: 9 }, { done: 500, seconds: 900 }, 500)).toBeNull();
    // One that began at the beginning has a pace from its first.
    expect(secondsLeft({ done: 1, seconds: 9 }, { done: 1, seconds: 9 }, 11)).toBe(90);
  });
});
