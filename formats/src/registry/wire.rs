//! The five bytes in front of a payload: zero and the schema's id.

const MAGIC: u8 = 0;

/// The schema id of a payload and the bytes behind it; `None` if it has no such header.
pub fn split_header(payload: &[u8]) -> Option<(i32, &[u8])> {
    let (header, rest) = payload.split_first_chunk::<5>()?;
    let [MAGIC, id @ ..] = *header else { return None };
    Some((i32::from_be_bytes(id), rest))
}

/// Appends the header of a payload.
pub fn write_header(id: i32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_zero_and_a_big_endian_id() {
        let mut payload = Vec::new();
        write_header(258, &mut payload);
        payload.push(9);
        assert_eq!(payload, [0, 0, 0, 1, 2, 9]);
        assert_eq!(split_header(&payload), Some((258, &[9][..])));
        assert_eq!(split_header(&[1, 0, 0, 1, 2]), None, "another magic byte");
        assert_eq!(split_header(&[0, 0, 0, 1]), None, "too short");
    }
}
