/** What runs have written of themselves, to be shown and compared. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { METRICS_FILE } from './checkpoint.js';
import { TrainError } from './loader.js';

/** One step of a run, as logged. */
export type LoggedStep = { readonly step: number } & Readonly<Record<string, number>>;

export interface RunHistory {
  /** The folder, as it was given. */
  readonly run: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly steps: readonly LoggedStep[];
  /** Why it stopped, where a step was not finite. */
  readonly failure: Readonly<Record<string, unknown>> | null;
}

/** Reads a run folder; a run that is going on may be read at any time. @throws TrainError for a folder without a run. */
export async function readRun(run: string): Promise<RunHistory> {
  const settings = await readJson(join(run, 'config.json'));
  if (!settings)
    throw new TrainError(
      `runs: ${run} must be a run folder with a config.json, but there is none; name the --run of pretrain or align`,
    );
  return {
    run,
    settings,
    steps: await readSteps(join(run, METRICS_FILE)),
    failure: await readJson(join(run, 'failure.json')),
  };
}

async function readJson(path: string): Promise<Record<string, unknown> | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  } catch {
    return null;
  }
}

async function readSteps(path: string): Promise<LoggedStep[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    if (line === '') return [];
    try {
      return [JSON.parse(line) as LoggedStep];
    } catch {
      // The line that is being written.
      return [];
    }
  });
}

/** Measures of which less is better; of the others more is. */
const LESS_IS_BETTER = /^(loss|dino|ibot|koleo|pixels|text|gradNorm|seconds|waitShare|memoryMB)$/;
/** What a step does rather than what has been learnt: told as the median over the run. */
const RESOURCES = /^(seconds|waitShare|memoryMB|tokensPerSecond|gradNorm)$/;
const NOT_MEASURES = new Set(['step', 'learningRate']);

export interface Comparison {
  readonly runs: readonly { readonly run: string; readonly steps: number; readonly seconds: number }[];
  /** Settings in which the runs differ; undefined where a run has no such setting. */
  readonly settings: readonly { readonly name: string; readonly values: readonly unknown[] }[];
  readonly measures: readonly {
    readonly name: string;
    /** "last": the newest value, with the best beside it; "median": over all steps. */
    readonly of: 'last' | 'median';
    readonly values: readonly (number | null)[];
    readonly best: readonly (number | null)[];
    /** The run that is ahead by its value, or null where none is. */
    readonly ahead: number | null;
  }[];
}

/** Runs side by side: where they differ, what they have reached, and what a step of each takes. */
export function compareRuns(runs: readonly RunHistory[]): Comparison {
  const keys = [...new Set(runs.flatMap(({ settings }) => Object.keys(settings)))];
  const names = [...new Set(runs.flatMap(({ steps }) => steps.flatMap((one) => Object.keys(one))))];
  return {
    runs: runs.map(({ run, steps }) => ({
      run,
      steps: steps.at(-1)?.step ?? 0,
      seconds: steps.reduce((sum, { seconds = 0 }) => sum + seconds, 0),
    })),
    settings: keys
      .map((name) => ({ name, values: runs.map(({ settings }) => settings[name]) }))
      .filter(({ values }) => new Set(values.map((value) => JSON.stringify(value))).size > 1),
    measures: names
      .filter((name) => !NOT_MEASURES.has(name))
      .map((name) => {
        const each = runs.map(({ steps }) =>
          steps.map((one) => one[name]).filter((value): value is number => value !== undefined),
        );
        const less = LESS_IS_BETTER.test(name);
        const resource = RESOURCES.test(name);
        const values = each.map((list) => (resource ? median(list) : (list.at(-1) ?? null)));
        return {
          name,
          of: resource ? ('median' as const) : ('last' as const),
          values,
          best: each.map((list) => best(list, less)),
          ahead: aheadOf(values, less),
        };
      }),
  };
}

const best = (list: readonly number[], less: boolean): number | null =>
  list.length === 0 ? null : list.reduce((a, b) => (less ? Math.min(a, b) : Math.max(a, b)));

function median(list: readonly number[]): number | null {
  if (list.length === 0) return null;
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function aheadOf(values: readonly (number | null)[], less: boolean): number | null {
  const known = values.filter((value): value is number => value !== null);
  const top = best(known, less);
  return known.length < 2 || known.filter((value) => value === top).length > 1 ? null : values.indexOf(top);
}
