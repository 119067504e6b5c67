//! SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash nobody can foresee without the key.
//!
//! The standard library's is deprecated under this name and not promised to stay 2-4, which
//! RFC 9018 §4.4 demands.

/// 128 bits that nobody else knows.
#[derive(Clone, Copy)]
pub(super) struct Key(u64, u64);

impl Key {
    pub(super) fn new(bytes: [u8; 16]) -> Key {
        let bits = u128::from_le_bytes(bytes);
        Key(bits as u64, (bits >> 64) as u64)
    }
}

impl std::fmt::Debug for Key {
    /// Says nothing: it is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// The hash of `data`; its bytes on the wire are the little-endian ones.
#[inline]
pub(super) fn hash(Key(k0, k1): Key, data: &[u8]) -> u64 {
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        compress(&mut state, u64::from_le_bytes(*word));
    }
    // The last word: what is left, and in its highest byte the length modulo 256.
    let left = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    compress(&mut state, (data.len() as u64) << 56 | left);
    state[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut state));
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline]
fn compress(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    round(state);
    state[0] ^= word;
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference implementation's: key 00 01 … 0f, data of so many bytes 00 01 …
    #[test]
    fn hashes_are_those_of_the_reference() {
        let key = Key::new(std::array::from_fn(|i| i as u8));
        for (len, expected) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ] {
            let data: Vec<u8> = (0..len).collect();
            assert_eq!(hash(key, &data), expected, "{len}");
        }
    }

    #[test]
    #[expect(deprecated, reason = "this is the SipHash-2-4 that was")]
    fn hashes_are_those_of_the_standard_library() {
        use std::hash::{Hasher, SipHasher};
        let data: Vec<u8> = (0..=255).rev().collect();
        for len in 0..data.len() {
            let mut theirs = SipHasher::new_with_keys(7, 9);
            theirs.write(&data[..len]);
            assert_eq!(hash(Key(7, 9), &data[..len]), theirs.finish(), "{len}");
        }
    }
}
