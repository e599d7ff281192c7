//! BYTES as text: base64 with padding.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Appends the text of `bytes`.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written =
        STANDARD.encode_slice(bytes, &mut out[start..]).expect("four characters for every three bytes");
    out.truncate(start + written);
}

/// Appends the bytes that `text` stands for; `false` if it is not base64, then `out` may hold a part of them.
pub(crate) fn read(text: &str, out: &mut Vec<u8>) -> bool {
    STANDARD.decode_vec(text, out).is_ok()
}
