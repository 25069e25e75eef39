/**
 * Makes src/formats/dicom/dictionary.ts and src/corpus/deidentify/profile-table.ts from the DICOM standard as data.
 *
 *   git clone https://github.com/innolitics/dicom-standard            (MIT; parts 3, 6 and 15, edition 2024e)
 *   pip download --no-deps highdicom && unzip -d highdicom *.whl      (MIT; the modules of IODs, part 3)
 *   node scripts/make-dicom-tables.mjs dicom-standard/standard highdicom/highdicom/_standard
 *   npx prettier --write src/formats/dicom/dictionary.ts src/corpus/deidentify/profile-table.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [standard, modules] = process.argv.slice(2);
if (standard === undefined || modules === undefined) {
  console.error('usage: make-dicom-tables.mjs DICOM_STANDARD_JSON HIGHDICOM_JSON');
  process.exit(2);
}
const read = (dir, name) => JSON.parse(readFileSync(join(dir, name), 'utf8'));
const hex = (tag) => tag.replace(/[(),]/g, '').toLowerCase();

// Part 6: value representations. Of several ("US or SS") the first; repeating groups are left to the reader.
const attributes = read(standard, 'attributes.json');
const byVr = new Map();
const keywords = new Map();
for (const { tag, valueRepresentation, keyword } of attributes) {
  const id = hex(tag);
  const [vr] = /^[A-Z]{2}/.exec(valueRepresentation ?? '') ?? [];
  if (!/^[0-9a-f]{8}$/.test(id) || vr === undefined) continue;
  byVr.set(vr, [...(byVr.get(vr) ?? []), id]);
  keywords.set(keyword, id);
}
const lines = (words) =>
  (words.join(' ').match(/.{1,98}(?: |$)/g) ?? []).map((line) => line.trim()).join('\n');
writeFileSync(
  'src/formats/dicom/dictionary.ts',
  `/** VRs of the standard's attributes (PS3.6, edition 2024e). Made by scripts/make-dicom-tables.mjs; do not edit. */

const TAGS: Readonly<Record<string, string>> = {
${[...byVr]
  .sort()
  .map(([vr, ids]) => `  ${vr}: \`${lines(ids.sort())}\`,`)
  .join('\n')}
};

const vrs = new Map<number, string>();
for (const [vr, tags] of Object.entries(TAGS))
  for (const tag of tags.split(/\\s+/)) vrs.set(parseInt(tag, 16), vr);

/** The VR of a standard attribute; of several possible ones the first. undefined for private and unknown ones. */
export const vrOf = (tag: number): string | undefined => vrs.get(tag);
`,
);

// Part 15, table E.1-1: the basic profile and what the options that Precess knows make of it.
const profile = read(standard, 'confidentiality_profile_attributes.json');
const options = ['cleanDescOpt', 'rtnLongModifDatesOpt', 'rtnDevIdOpt', 'rtnPatCharsOpt'];
const rows = profile
  .filter(({ tag }) => /^[0-9a-f]{8}$/.test(hex(tag)))
  .map((row) => [hex(row.tag), row.basicProfile, ...options.map((o) => row[o] || '-')].join(' '));

// Part 3: the type of attributes whose action depends on it, strictest of all places, in the images that Precess reads.
const compound = new Set(
  profile.filter(({ basicProfile }) => basicProfile.includes('/')).map(({ tag }) => hex(tag)),
);
const classes = read(modules, 'sop_class_iod_map.json');
const iods = read(modules, 'iod_module_map.json');
const contents = read(modules, 'module_attribute_map.json');
const wanted = ['mr-image', 'enhanced-mr-image', 'legacy-converted-enhanced-mr-image'];
const types = {};
for (const [uid, iod] of Object.entries(classes)) {
  if (!wanted.includes(iod)) continue;
  const found = { root: {}, nested: {} };
  for (const { key } of iods[iod])
    for (const { keyword, type, path } of contents[key] ?? []) {
      const id = keywords.get(keyword);
      if (id === undefined || !compound.has(id)) continue;
      const place = found[path.length === 0 ? 'root' : 'nested'];
      const level = Number(type[0]);
      place[id] = Math.min(place[id] ?? 3, level);
    }
  types[uid] = Object.fromEntries(
    Object.entries(found).map(([place, levels]) => [
      place,
      Object.entries(levels)
        .sort()
        .map(([id, level]) => `${id} ${level}`),
    ]),
  );
}
writeFileSync(
  'src/corpus/deidentify/profile-table.ts',
  `/** PS3.15 table E.1-1 and attribute types of PS3.3, edition 2024e. Made by scripts/make-dicom-tables.mjs; do not edit. */

/** Tag, basic profile, Clean Descriptors, Modified Dates, Retain Device Identity, Retain Patient Characteristics. */
export const PROFILE = \`
${rows.sort().join('\n')}
\`;

/** SOP class → types (1, 2, 3; conditional ones count as the unconditional) of attributes with several actions. */
export const TYPES: Readonly<Record<string, { readonly root: string; readonly nested: string }>> = {
${Object.entries(types)
  .map(
    ([uid, { root, nested }]) =>
      `  '${uid}': {\n    root: \`${root.join(', ')}\`,\n    nested: \`${nested.join(', ')}\`,\n  },`,
  )
  .join('\n')}
};
`,
);
console.log(`${rows.length} rows of table E.1-1, ${[...byVr.values()].flat().length} attributes`);
