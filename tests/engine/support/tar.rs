//! Tar archives (POSIX ustar) in memory, for images and build contexts.

/// An archive under construction. Its entries keep the order in which they were added.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// Adds a regular file.
    pub(crate) fn file(mut self, path: &str, mode: u32, content: &[u8]) -> Tar {
        self.head(path, mode, content.len(), b'0', "");
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// Adds a symbolic link.
    pub(crate) fn link(mut self, path: &str, target: &str) -> Tar {
        self.head(path, 0o777, 0, b'2', target);
        self
    }

    /// Adds an empty directory.
    pub(crate) fn directory(mut self, path: &str, mode: u32) -> Tar {
        self.head(path, mode, 0, b'5', "");
        self
    }

    /// The whole archive: the entries and two empty blocks.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// Writes one header block. The checksum is the sum of its bytes with the checksum itself read as spaces.
    fn head(&mut self, path: &str, mode: u32, size: usize, kind: u8, target: &str) {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, path);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, "00000000000");
        put(148, "        ");
        put(157, target);
        put(257, "ustar");
        put(263, "00");
        block[156] = kind;
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&block);
    }
}
