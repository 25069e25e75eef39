/** Report sections and sentences. The reports are written for this test; what is expected is what a reader would mark. */
import { describe, expect, it } from 'vitest';
import { sectionOf, splitReport } from '../../src/text/report-sections.js';
import { sentencesOf } from '../../src/text/sentence-split.js';

describe('splitReport', () => {
  it.each([
    [
      'English',
      'EXAM: MRI knee\nTECHNIQUE: Multiplanar.\n\nFINDINGS:\nThe menisci are intact.\nNo effusion.\n\nIMPRESSION: Normal knee.',
      'The menisci are intact.\nNo effusion.',
      'Normal knee.',
    ],
    [
      'German',
      'Fragestellung: Bandscheibenvorfall?\nTechnik: T2 sagittal.\nBefund:\nRegelrechte Stellung.\nBeurteilung:\nKein Vorfall.',
      'Regelrechte Stellung.',
      'Kein Vorfall.',
    ],
    [
      'French',
      'INDICATION : gonalgie.\nRÉSULTATS :\nMénisques normaux.\nCONCLUSION :\nExamen normal.',
      'Ménisques normaux.',
      'Examen normal.',
    ],
    [
      'Spanish',
      'TÉCNICA: secuencias T1 y T2.\nHALLAZGOS: Hígado normal.\nIMPRESIÓN DIAGNÓSTICA: Sin lesiones.',
      'Hígado normal.',
      'Sin lesiones.',
    ],
    [
      'Italian',
      'Quesito clinico: cefalea.\nREPERTI\nVentricoli in asse.\nCONCLUSIONI\nNon lesioni focali.',
      'Ventricoli in asse.',
      'Non lesioni focali.',
    ],
    [
      'Dutch',
      'Klinische gegevens: pijn.\nBevindingen: Geen afwijkingen aan de meniscus.\nConclusie: Normaal onderzoek.',
      'Geen afwijkingen aan de meniscus.',
      'Normaal onderzoek.',
    ],
    [
      'one line',
      'HISTORY: headache. FINDINGS: Ventricles are normal. IMPRESSION: No mass.',
      'Ventricles are normal.',
      'No mass.',
    ],
    ['dashes', 'FINDINGS - Liver is normal.\nIMPRESSION - No lesion.', 'Liver is normal.', 'No lesion.'],
  ])('%s', (_, report, findings, impression) => {
    const split = splitReport(report);
    expect(split.findings).toBe(findings);
    expect(split.impression.replace(/\.$/, '')).toBe(impression.replace(/\.$/, ''));
  });

  it('takes a report without headings for findings', () => {
    expect(splitReport('The liver is normal.')).toEqual({
      findings: 'The liver is normal.',
      impression: '',
      other: '',
    });
  });

  it('takes what precedes the impression for findings where no heading says so', () => {
    const split = splitReport('Disc protrusion at L4/5.\n\nCONCLUSION: Protrusion.');
    expect(split).toEqual({ findings: 'Disc protrusion at L4/5.', impression: 'Protrusion.', other: '' });
  });

  it('does not take every word with a colon for a heading', () => {
    const split = splitReport('FINDINGS: Left lobe: normal. Right lobe: a cyst of 3 mm.');
    expect(split.findings).toBe('Left lobe: normal. Right lobe: a cyst of 3 mm.');
  });

  it('knows single headings', () => {
    expect(sectionOf('Impresión diagnóstica:')).toBe('impression');
    expect(sectionOf('BEVINDINGEN')).toBe('findings');
    expect(sectionOf('Vergleich')).toBe('other');
    expect(sectionOf('Left kidney')).toBeNull();
  });
});

describe('sentencesOf', () => {
  it.each([
    ['A cyst of 3.5 mm. No oedema.', ['A cyst of 3.5 mm.', 'No oedema.']],
    [
      'Mass of 3.5 x 2.1 cm (ser. 4, im. 12). Unchanged.',
      ['Mass of 3.5 x 2.1 cm (ser. 4, im. 12).', 'Unchanged.'],
    ],
    ['Size approx. 3 mm vs. 5 mm before.', ['Size approx. 3 mm vs. 5 mm before.']],
    ['1. No fracture. 2. Small effusion. 3. Cyst.', ['No fracture.', 'Small effusion.', 'Cyst.']],
    ['1) Normal liver\n2) Cyst of the left kidney', ['Normal liver', 'Cyst of the left kidney']],
    ['- Normal liver\n- Normal spleen', ['Normal liver', 'Normal spleen']],
    ['Bruch am 3. Lendenwirbel. Z.n. Operation.', ['Bruch am 3. Lendenwirbel.', 'Z.n. Operation.']],
    [
      'V.a. Meniskusriss, z. B. Korbhenkel. Kein Erguss.',
      ['V.a. Meniskusriss, z. B. Korbhenkel.', 'Kein Erguss.'],
    ],
    [
      'Stenose der A. carotis interna. Die V. jugularis ist frei.',
      ['Stenose der A. carotis interna.', 'Die V. jugularis ist frei.'],
    ],
    ['Protrusion L4/L5. Stenosis at L5. Normal S1.', ['Protrusion L4/L5.', 'Stenosis at L5.', 'Normal S1.']],
    ['¿Fractura? Sin lesiones.', ['¿Fractura?', 'Sin lesiones.']],
    [
      'Lésion de 1,5 cm env. 20 mm du bord. Pas d’épanchement.',
      ['Lésion de 1,5 cm env. 20 mm du bord.', 'Pas d’épanchement.'],
    ],
  ])('%s', (text, sentences) => expect(sentencesOf(text)).toEqual(sentences));

  it('joins lines broken at a margin, and keeps lines that end before it', () => {
    const text =
      'The anterior cruciate ligament is intact and the posterior cruciate\n' +
      'ligament shows a normal signal in all of the sequences acquired\nhere, Baker cyst excluded\nNo effusion\nNo fracture';
    const sentences = sentencesOf(text);
    expect(sentences).toHaveLength(3);
    expect(sentences[0]).toMatch(/posterior cruciate ligament shows .* acquired here, Baker cyst excluded$/);
    expect(sentences.slice(1)).toEqual(['No effusion', 'No fracture']);
  });

  it('gives nothing for nothing', () => expect(sentencesOf(' \n 3.\n')).toEqual([]));
});
