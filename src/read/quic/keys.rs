//! Decrypts QUIC Initial packets, whose keys are derived from public values.
//!
//! In:  a version, the connection ID that a client chose, a packet.
//! Out: the packet's frames, when the packet is authentic.
//! Not: any other packet, because its keys are secret.

use super::packet::InitialPacket;
use super::packet::QuicVersion;
use aes_gcm::Aes128Gcm;
use aes_gcm::KeyInit;
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use hkdf::Hkdf;
use sha2::Sha256;

/// RFC 9001 §5.2; also of drafts 33 and 34.
const SALT_V1: [u8; 20] =
    *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
/// RFC 9369 §3.3.1.
const SALT_V2: [u8; 20] =
    *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9";
/// draft-ietf-quic-v2-00 to 04.
const SALT_V2_DRAFT: [u8; 20] =
    *b"\xa7\x07\xc2\x03\xa5\x9b\x47\x18\x4a\x1d\x62\xca\x57\x04\x06\xea\x7a\xe3\xe5\xd3";
/// draft-ietf-quic-tls-29 to 32, §5.2.
const SALT_29: [u8; 20] =
    *b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99";
/// draft-ietf-quic-tls-23 to 28, §5.2.
const SALT_23: [u8; 20] =
    *b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02";
/// draft-ietf-quic-tls-21 and 22, §5.2.
const SALT_21: [u8; 20] =
    *b"\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a";
/// draft-ietf-quic-tls-17 to 20, §5.2.
const SALT_17: [u8; 20] =
    *b"\xef\x4f\xb0\xab\xb4\x74\x70\xc4\x1b\xef\xcf\x80\x31\x33\x4f\xae\x48\x5e\x09\xa0";
/// Google's versions, from its published source.
const SALT_Q050: [u8; 20] =
    *b"\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45";
const SALT_T050: [u8; 20] =
    *b"\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10";
const SALT_T051: [u8; 20] =
    *b"\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d";

/// RFC 9001 §5.3: AEAD_AES_128_GCM.
const KEY_LEN: usize = 16;
const IV_LEN: usize = 12;
const TAG_LEN: usize = 16;
const SECRET_LEN: usize = 32;
/// RFC 9001 §5.4.2: the sample starts as if the packet number had four bytes.
const SAMPLE_AT: usize = 4;
/// RFC 9000 §17.2: zero before header protection. With other keys they rarely are, which saves most of the decryption.
const RESERVED_BITS: u8 = 0x0c;

/// A salt, and whether the labels are those of version 2.
type Salt = (&'static [u8; 20], bool);

const V1: Salt = (&SALT_V1, false);
const V2: Salt = (&SALT_V2, true);
const V2_DRAFT: Salt = (&SALT_V2_DRAFT, true);
const DRAFT_29: Salt = (&SALT_29, false);
const DRAFT_23: Salt = (&SALT_23, false);
const DRAFT_21: Salt = (&SALT_21, false);
const DRAFT_17: Salt = (&SALT_17, false);

/// The salts that a version may have, most likely first. A version number does not always show which draft it uses, but a
/// packet that decrypts is authentic.
fn salts(version: QuicVersion) -> &'static [Salt] {
    match version.0 {
        1 | 0xff00_0021 | 0xff00_0022 => &[V1],
        QuicVersion::V2 => &[V2],
        QuicVersion::V2_DRAFT | 0xff02_0000 => &[V2_DRAFT],
        0xff00_001d..=0xff00_0020 => &[DRAFT_29],
        0xff00_0017..=0xff00_001c => &[DRAFT_23],
        0xff00_0015 | 0xff00_0016 => &[DRAFT_21],
        0xff00_0011..=0xff00_0014 => &[DRAFT_17],
        0x5130_3530 => &[(&SALT_Q050, false)],
        0x5430_3530 => &[(&SALT_T050, false)],
        0x5430_3531 => &[(&SALT_T051, false)],
        // mvfst kept its number while the draft changed.
        0xface_b000 | 0xface_b001 => &[DRAFT_21, DRAFT_23],
        _ if version.is_mvfst() => &[DRAFT_23, V1, DRAFT_29],
        // Reserved versions that force negotiation, and private ones: the client uses the keys of a version it supports.
        _ if version.is_known() && version.google().is_none() && !version.is_draft() => {
            &[V1, DRAFT_29, DRAFT_23]
        }
        _ => &[],
    }
}

/// The keys of one direction.
pub(crate) struct Keys {
    salt: Salt,
    packet: Aes128Gcm,
    header: Aes128,
    iv: [u8; IV_LEN],
}

/// The role of the endpoint that sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

impl Keys {
    /// The client's possible keys, with the connection ID that it chose; none for unknown versions.
    pub(crate) fn client_candidates(version: QuicVersion, id: &[u8]) -> impl Iterator<Item = Keys> {
        salts(version).iter().filter_map(|salt| Keys::derive(*salt, id, Sender::Client))
    }

    /// The server's keys of the same connection.
    pub(crate) fn server_keys(&self, id: &[u8]) -> Option<Keys> {
        Keys::derive(self.salt, id, Sender::Server)
    }

    fn derive(salt: Salt, id: &[u8], sender: Sender) -> Option<Keys> {
        let (bytes, v2) = salt;
        // RFC 9001 §5.2.
        let initial = Hkdf::<Sha256>::new(Some(bytes), id);
        let label: &[u8] = if sender == Sender::Client { b"client in" } else { b"server in" };
        let secret = Hkdf::<Sha256>::from_prk(&expand::<SECRET_LEN>(&initial, label)?).ok()?;
        // RFC 9001 §5.1; RFC 9369 §3.3.2 has other labels.
        let [key, iv, header]: [&[u8]; 3] = if v2 {
            [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"]
        } else {
            [b"quic key", b"quic iv", b"quic hp"]
        };
        Some(Keys {
            salt,
            packet: Aes128Gcm::new(&expand::<KEY_LEN>(&secret, key)?.into()),
            header: Aes128::new(&expand::<KEY_LEN>(&secret, header)?.into()),
            iv: expand(&secret, iv)?,
        })
    }

    /// Decrypts the frames of a packet into `buffer`; false when the packet is not authentic.
    pub(crate) fn decrypt(&self, packet: &InitialPacket<'_>, buffer: &mut Vec<u8>) -> bool {
        self.try_decrypt(packet, buffer).is_some()
    }

    fn try_decrypt(&self, packet: &InitialPacket<'_>, buffer: &mut Vec<u8>) -> Option<()> {
        // RFC 9001 §5.4.1.
        let sample: [u8; 16] = *packet.protected.get(SAMPLE_AT..)?.first_chunk()?;
        let mut mask = sample.into();
        self.header.encrypt_block(&mut mask);
        let (first_mask, number_mask) = mask.split_first()?;
        let first = packet.first ^ (first_mask & 0x0f);
        if first & RESERVED_BITS != 0 {
            return None;
        }
        let number_len = usize::from(first & 3) + 1;
        let mut number = 0u64;
        buffer.clear();
        // The unprotected header is authenticated: its first byte and its packet number differ from the wire.
        buffer.push(first);
        buffer.extend_from_slice(packet.header.get(1..)?);
        for (byte, mask) in packet.protected.get(..number_len)?.iter().zip(number_mask) {
            number = number << 8 | u64::from(byte ^ mask);
            buffer.push(byte ^ mask);
        }
        let header_len = buffer.len();
        let encrypted = packet.protected.get(number_len..)?;
        let (body, tag) = encrypted.split_at_checked(encrypted.len().checked_sub(TAG_LEN)?)?;
        let tag: [u8; TAG_LEN] = *tag.first_chunk()?;
        buffer.extend_from_slice(body);
        // RFC 9001 §5.3: the nonce is the IV XORed with the packet number.
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= number;
        }
        let (header, body) = buffer.split_at_mut_checked(header_len)?;
        self.packet.decrypt_inout_detached(&nonce.into(), header, InOutBuf::from(body), &tag.into()).ok()?;
        buffer.drain(..header_len);
        Some(())
    }
}

/// RFC 8446 §7.1: HKDF-Expand-Label without a context.
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &[u8]) -> Option<[u8; N]> {
    const PREFIX: &[u8] = b"tls13 ";
    let len = u16::try_from(N).ok()?.to_be_bytes();
    let label_len = u8::try_from(PREFIX.len() + label.len()).ok()?;
    let mut out = [0; N];
    secret.expand_multi_info(&[&len, &[label_len], PREFIX, label, &[0]], &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
impl Keys {
    /// Appends a packet number of one byte and the encrypted frames to `out`, which holds the header before them.
    pub(crate) fn encrypt(&self, out: &mut Vec<u8>, number: u8, frames: &[u8]) {
        let number_at = out.len();
        out.push(number);
        let mut nonce = self.iv;
        nonce[IV_LEN - 1] ^= number;
        let mut body = frames.to_vec();
        let tag = self
            .packet
            .encrypt_inout_detached(&nonce.into(), out, InOutBuf::from(body.as_mut_slice()))
            .unwrap();
        out.extend_from_slice(&body);
        out.extend_from_slice(&tag);
        let sample: [u8; 16] = out[number_at + SAMPLE_AT..][..16].try_into().unwrap();
        let mut mask = sample.into();
        self.header.encrypt_block(&mut mask);
        out[0] ^= mask[0] & 0x0f;
        out[number_at] ^= mask[1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001 appendix A.1.
    #[test]
    fn keys_of_the_rfcs_example() {
        let id = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
        let keys = Keys::client_candidates(QuicVersion(1), id).next().unwrap();
        assert_eq!(keys.iv, *b"\xfa\x04\x4b\x2f\x42\xa3\xfd\x3b\x46\xfb\x25\x5c");
        let keys = keys.server_keys(id).unwrap();
        assert_eq!(keys.iv, *b"\x0a\xc1\x49\x3c\xa1\x90\x58\x53\xb0\xbb\xa0\x3e");
        assert!(Keys::client_candidates(QuicVersion(0xff00_0003), id).next().is_none());
    }
}
