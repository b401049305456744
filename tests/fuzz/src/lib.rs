//! A mutator that knows the container of a bundle. Every section carries a checksum, so plain
//! mutations of bytes would never be seen by the code behind it.

use twox_hash::XxHash3_64;

const HEADER_BYTES: usize = 36;
const ENTRY_BYTES: usize = 40;

/// A bundle taken apart: table entries (their offset, sizes and hash are rewritten by
/// [`Parts::join`]) and the bytes of each section.
pub struct Parts {
    version: [u8; 4],
    sections: Vec<([u8; ENTRY_BYTES], Vec<u8>)>,
}

impl Parts {
    /// `None` when the table does not describe ranges of `file`; checksums are not looked at.
    pub fn split(file: &[u8]) -> Option<Parts> {
        let version = file.get(8..12)?.try_into().ok()?;
        let count = u32::from_le_bytes(file.get(24..28)?.try_into().ok()?) as usize;
        let table = file.get(HEADER_BYTES..HEADER_BYTES + count.checked_mul(ENTRY_BYTES)?)?;
        let section = |entry: &[u8]| {
            let word = |at: usize| {
                let bytes = entry.get(at..at + 8)?.try_into().ok()?;
                usize::try_from(u64::from_le_bytes(bytes)).ok()
            };
            let offset = word(8)?;
            let body = file.get(offset..offset.checked_add(word(16)?)?)?;
            Some((entry.try_into().ok()?, body.to_vec()))
        };
        let sections = table.chunks_exact(ENTRY_BYTES).map(section).collect::<Option<_>>()?;
        Some(Parts { version, sections })
    }

    pub fn len(&self) -> usize {
        self.sections.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    pub fn remove(&mut self, index: usize) {
        self.sections.remove(index);
    }

    pub fn repeat(&mut self, index: usize) {
        let section = self.sections[index].clone();
        self.sections.push(section);
    }

    /// Kind, codec, alignment and variant of a section (8 bytes), and its contents.
    pub fn section(&mut self, index: usize) -> (&mut [u8], &mut Vec<u8>) {
        let (entry, body) = &mut self.sections[index];
        (&mut entry[..8], body)
    }

    /// The file again, with offsets, sizes and checksums that are right for it.
    pub fn join(&self) -> Vec<u8> {
        let header_len = HEADER_BYTES + self.sections.len() * ENTRY_BYTES;
        let mut file = vec![0; header_len];
        let mut table = Vec::new();
        for (entry, body) in &self.sections {
            // Larger alignments are refused by the reader; they would only make large files here.
            let align = 1usize << entry[3].min(12);
            file.resize(file.len().next_multiple_of(align), 0);
            table.extend_from_slice(&entry[..8]);
            for word in [file.len() as u64, body.len() as u64, body.len() as u64] {
                table.extend_from_slice(&word.to_le_bytes());
            }
            table.extend_from_slice(&XxHash3_64::oneshot(body).to_le_bytes());
            file.extend_from_slice(body);
        }
        let mut header = b"\x89DRFT\r\n\x1a".to_vec();
        header.extend_from_slice(&self.version);
        header.extend_from_slice(&(header_len as u32).to_le_bytes());
        header.extend_from_slice(&(file.len() as u64).to_le_bytes());
        header.extend_from_slice(&(self.sections.len() as u32).to_le_bytes());
        file[..header.len()].copy_from_slice(&header);
        file[HEADER_BYTES..header_len].copy_from_slice(&table);
        seal(&mut file, header_len);
        file
    }
}

/// Makes the checksum of header and table right; the table ends at `table_end`.
pub fn seal(file: &mut [u8], table_end: usize) {
    let (header, rest) = file.split_at_mut(HEADER_BYTES);
    let fixed = HEADER_BYTES - 8;
    let seed = XxHash3_64::oneshot(&header[..fixed]);
    let hash = XxHash3_64::oneshot_with_seed(seed, &rest[..table_end - HEADER_BYTES]);
    header[fixed..].copy_from_slice(&hash.to_le_bytes());
}

/// Where the table begins and ends.
pub fn table(parts: &Parts) -> std::ops::Range<usize> {
    HEADER_BYTES..HEADER_BYTES + parts.len() * ENTRY_BYTES
}
