import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// The layers of docs/architecture: a folder may import itself and what is listed, nothing else.
const layers = {
  graph: [],
  mpi: [],
  runtime: ['graph'],
  nn: ['graph'],
  optim: ['graph'],
  volume: [],
  formats: ['volume'],
  text: [],
  simulate: ['volume', 'formats', 'text'],
  pacs: ['volume', 'formats'],
  corpus: ['mpi', 'volume', 'formats', 'text', 'pacs'],
  models: ['graph', 'runtime', 'nn', 'volume', 'text'],
  train: ['graph', 'mpi', 'runtime', 'nn', 'optim', 'models', 'volume', 'formats', 'corpus', 'text'],
  tasks: [
    'graph',
    'mpi',
    'runtime',
    'nn',
    'simulate',
    'models',
    'train',
    'volume',
    'formats',
    'corpus',
    'text',
  ],
  evaluate: ['models', 'train', 'tasks', 'volume', 'formats', 'corpus', 'text'],
};
const below = [...Object.keys(layers)];
layers.server = [...below];
layers.cli = [...below, 'server'];

const imports = Object.entries(layers).map(([layer, allowed]) => ({
  files: [`src/${layer}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        paths: layer === 'runtime' ? [] : ['onnxruntime-node'],
        patterns: Object.keys(layers)
          .filter((other) => other !== layer && !allowed.includes(other))
          .map((other) => ({
            group: [`**/${other}/**`],
            message: `src/${layer} may not import src/${other}`,
          })),
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ['dist', 'demo', 'node_modules', 'coverage', '.precess'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      // Index reads are checked by noUncheckedIndexedAccess; a `!` says "proven in range" in inner loops.
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  ...imports,
  {
    files: ['**/*.js', '**/*.mjs'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: {
        console: 'readonly',
        process: 'readonly',
        URL: 'readonly',
        performance: 'readonly',
        setTimeout: 'readonly',
        AbortController: 'readonly',
        setInterval: 'readonly',
        clearInterval: 'readonly',
      },
    },
  },
);
