//! Files in one: a tar archive (POSIX.1-2017, pax §ustar) inside gzip (RFC 1952), written by hand:
//! it is two headers, and what makes the contents small is here already.

use miniz_oxide::deflate::compress_to_vec;

/// A block of tar.
const BLOCK: usize = 512;
/// The longest name that a header has room for.
pub(super) const NAME_MAX: usize = 100;
/// As gzip's own default.
const LEVEL: u8 = 6;

/// `files`, name and content of each, as a `.tar.gz` of `at` (seconds since 1970).
pub(super) fn tar_gz(files: &[(String, Vec<u8>)], at: u64) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files {
        tar.extend_from_slice(&header(name, content.len(), at));
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    // Two empty blocks end it.
    tar.resize(tar.len() + 2 * BLOCK, 0);
    gzip(&tar)
}

fn header(name: &str, size: usize, at: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |from: usize, text: &[u8]| header[from..from + text.len()].copy_from_slice(text);
    let name = &name.as_bytes()[..name.len().min(NAME_MAX)];
    put(0, name);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{at:011o}\0").as_bytes());
    // The checksum is over the header with spaces in its own place.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn gzip(content: &[u8]) -> Vec<u8> {
    // Magic, deflate, no flags, no time, no hints, an unknown system.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(compress_to_vec(content, LEVEL));
    out.extend(crc32(content).to_le_bytes());
    out.extend((content.len() as u32).to_le_bytes());
    out
}

/// The checksum of RFC 1952 §8.
fn crc32(content: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    };
    !content.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
