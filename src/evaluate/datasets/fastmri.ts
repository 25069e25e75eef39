/** fastMRI: what a scan was (sequence of the brain, fat suppression of the knee) from its reconstructed image. */
import { basename, join } from 'node:path';
import { readFastmriScan } from '../../formats/fastmri.js';
import { filesIn, found, hashed, type ClassifyCase, type ClassifyDataset } from './dataset.js';
import { published } from './published.js';

/**
 * Zbontar et al. 2018 (knees), Knoll et al. 2020 (brains): {singlecoil,multicoil}_{train,val}/NAME.h5. The published
 * validation files are asked about, those for training teach; test files have no image. A scan that is there with one coil
 * and with several counts once.
 */
export const fastmri: ClassifyDataset = {
  kind: 'classify',
  ...published('fastmri'),
  title: 'fastMRI: which sequence a scan is',
  channels: ['image'],
  async read(dir) {
    const files = (await filesIn(dir)).filter((file) => /_(train|val)(_\w+)?\/[^/]+\.h5$/.test(file));
    const cases = new Map<string, ClassifyCase>();
    for (const file of files) {
      const name = basename(file);
      if (cases.has(name)) continue;
      const scan = await readFastmriScan(join(dir, file));
      const { manufacturer, fieldStrengthT } = scan;
      cases.set(name, {
        id: hashed('se', name),
        // Without a patient in the file each scan counts as one of its own.
        patientId: hashed('pt', scan.patient || name),
        images: { image: join(dir, file) },
        label: scan.acquisition,
        fold: /_val(_\w+)?\/[^/]+$/.test(file) ? 0 : -1,
        about: { manufacturer, fieldStrengthT },
      });
    }
    return found([...cases.values()], dir, '{singlecoil,multicoil}_{train,val}/NAME.h5');
  },
};
