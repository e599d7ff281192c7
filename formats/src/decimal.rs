//! DECIMAL(p, s): how its unscaled values are held, and those from and to text and bytes, exactly.

use arrow::{
    array::ArrowNativeTypeOp,
    datatypes::{ArrowNativeType, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, i256},
};

/// Digits of the widest DECIMAL.
pub const DECIMAL_PRECISION_MAX: u8 = DECIMAL256_MAX_PRECISION;

/// Connect's precision where a schema names none.
const PRECISION_DEFAULT: u8 = 64;

/// The Arrow type that holds DECIMAL(precision, scale): 128 bits up to 38 digits, and 256 bits beyond, up to
/// [`DECIMAL_PRECISION_MAX`].
pub fn decimal_type(precision: u8, scale: i8) -> DataType {
    if precision <= DECIMAL128_MAX_PRECISION {
        DataType::Decimal128(precision, scale)
    } else {
        DataType::Decimal256(precision, scale)
    }
}

/// The precision of columns for a registered decimal. Schemas may name more digits than columns have: values that have
/// them do not fit.
pub(crate) fn column_precision(named: Option<u64>) -> u8 {
    let most = u64::from(DECIMAL_PRECISION_MAX);
    match named {
        Some(precision) if precision > 0 => precision.min(most) as u8,
        _ => PRECISION_DEFAULT,
    }
}

/// Why a text is no DECIMAL of the wanted precision and scale.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Not a number.
    NotANumber,
    /// A number that would need rounding or more digits: its own precision and scale.
    Rounds { precision: usize, scale: i64 },
}

impl Misfit {
    /// ksqlDB's message.
    pub(crate) fn message(&self, text: &str, precision: u8, scale: i8) -> String {
        match self {
            Self::NotANumber => format!("'{text}' is not a decimal number"),
            Self::Rounds { precision: p, scale: s } => format!(
                "Cannot fit decimal '{text}' into DECIMAL({precision}, {scale}) without rounding. (Requires {p},{s})"
            ),
        }
    }
}

/// The native types of unscaled values: `i128` for up to 38 digits, `i256` for up to 76.
pub(crate) trait Unscaled: ArrowNativeType + ArrowNativeTypeOp {
    /// All bytes, big-endian.
    type Bytes: Default + AsRef<[u8]> + AsMut<[u8]>;
    /// Room for the digits of any value.
    type Digits: Default;

    fn from_be(bytes: Self::Bytes) -> Self;
    fn to_be(self) -> Self::Bytes;
    /// `high` * 10^38 + `low`. `high` is 0 for types of no more than 38 digits.
    fn join(high: i128, low: i128) -> Self;
    fn widen(self) -> i256;
    /// Bits in front that are as the sign.
    fn sign_bits(self) -> u32;
    /// The digits without a sign, at least one.
    fn digits(self, room: &mut Self::Digits) -> &[u8];
    /// How many those are.
    fn digit_count(self) -> u32;

    fn is_negative(self) -> bool {
        self.is_lt(Self::ZERO)
    }
}

impl Unscaled for i128 {
    type Bytes = [u8; 16];
    type Digits = itoa::Buffer;

    fn from_be(bytes: Self::Bytes) -> Self {
        Self::from_be_bytes(bytes)
    }

    fn to_be(self) -> Self::Bytes {
        self.to_be_bytes()
    }

    #[inline]
    fn join(_high: i128, low: i128) -> Self {
        low
    }

    fn widen(self) -> i256 {
        i256::from_i128(self)
    }

    fn sign_bits(self) -> u32 {
        if self < 0 { self.leading_ones() } else { self.leading_zeros() }
    }

    #[inline]
    fn digits(self, room: &mut Self::Digits) -> &[u8] {
        room.format(self.unsigned_abs()).as_bytes()
    }

    fn digit_count(self) -> u32 {
        self.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1)
    }
}

const TEN_TO_38: i128 = 10i128.pow(38);

/// Digits that are written from the back.
pub(crate) struct WideDigits {
    bytes: [u8; 78],
    start: usize,
}

impl Default for WideDigits {
    fn default() -> Self {
        Self { bytes: [b'0'; 78], start: 78 }
    }
}

impl Unscaled for i256 {
    type Bytes = [u8; 32];
    type Digits = WideDigits;

    fn from_be(bytes: Self::Bytes) -> Self {
        Self::from_be_bytes(bytes)
    }

    fn to_be(self) -> Self::Bytes {
        self.to_be_bytes()
    }

    fn join(high: i128, low: i128) -> Self {
        let low = Self::from_i128(low);
        if high == 0 {
            return low;
        }
        Self::from_i128(high).wrapping_mul(Self::from_i128(TEN_TO_38)).wrapping_add(low)
    }

    fn widen(self) -> i256 {
        self
    }

    fn sign_bits(self) -> u32 {
        // -x - 1 is x with its bits turned.
        if self.is_negative() {
            self.wrapping_neg().wrapping_sub(Self::ONE).leading_zeros()
        } else {
            self.leading_zeros()
        }
    }

    fn digits(self, room: &mut Self::Digits) -> &[u8] {
        *room = WideDigits::default();
        let mut rest = self;
        let mut end = room.bytes.len();
        loop {
            let (part, more) = match rest.to_i128() {
                Some(last) if last.unsigned_abs() < TEN_TO_38.unsigned_abs() => (last, None),
                _ => {
                    let ten_to_38 = Self::from_i128(TEN_TO_38);
                    (rest.wrapping_rem(ten_to_38).as_i128(), Some(rest.wrapping_div(ten_to_38)))
                }
            };
            let mut buffer = itoa::Buffer::new();
            let part = buffer.format(part.unsigned_abs()).as_bytes();
            room.start = end - part.len();
            room.bytes[room.start..end].copy_from_slice(part);
            let Some(more) = more else { break };
            end -= 38;
            rest = more;
        }
        &room.bytes[room.start..]
    }

    fn digit_count(self) -> u32 {
        self.digits(&mut Self::Digits::default()).len() as u32
    }
}

/// The unscaled value of a text such as `-12.50` or `1e3`. `N` holds as many digits as `precision` says.
pub(crate) fn parse<N: Unscaled>(text: &[u8], precision: u8, scale: i8) -> Result<N, Misfit> {
    let (negative, unsigned) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if let Some(short) = parse_short::<N>(unsigned, precision, scale) {
        return Ok(if negative { short.neg_wrapping() } else { short });
    }
    let (number, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..]).ok_or(Misfit::NotANumber)?),
        None => (unsigned, 0),
    };
    let mut points = number.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (points.next().unwrap_or_default(), points.next().unwrap_or_default());
    let digits = || whole.iter().chain(fraction);
    if digits().next().is_none() || !digits().all(u8::is_ascii_digit) {
        return Err(Misfit::NotANumber);
    }
    let written = digits().count();
    let leading = digits().take_while(|digit| **digit == b'0').count();
    if leading == written {
        return Ok(N::ZERO);
    }
    let trailing = digits().rev().take_while(|digit| **digit == b'0').count();
    let own_scale = fraction.len() as i64 - exponent;
    let misfit = Misfit::Rounds { precision: written - leading, scale: own_scale };
    // The value is the significant digits times 10^shift, once the scale is taken off.
    let shift = trailing as i64 - own_scale + i64::from(scale);
    let significant = written - leading - trailing;
    if shift < 0 || significant as i64 + shift > i64::from(precision) {
        return Err(misfit);
    }
    let value = |from: usize, count: usize| {
        let digits = digits().skip(from).take(count);
        digits.fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'))
    };
    let high = significant.saturating_sub(38);
    let high_value = if high == 0 { 0 } else { value(leading, high) };
    let unscaled = N::join(high_value, value(leading + high, significant - high));
    let unscaled = unscaled.mul_wrapping(ten_to(shift as u32));
    Ok(if negative { unscaled.neg_wrapping() } else { unscaled })
}

/// Digits with or without a point, few enough for 64 bits and no more behind the point than are kept, as most numbers
/// have them. `None` says nothing about the others.
#[inline]
fn parse_short<N: Unscaled>(text: &[u8], precision: u8, scale: i8) -> Option<N> {
    if text.len() > 18 {
        return None;
    }
    let (mut value, mut whole) = (0, None);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if whole.is_none() => whole = Some(at),
            _ => return None,
        }
    }
    let fraction = whole.map_or(0, |whole| text.len() - whole - 1);
    let shift = usize::try_from(scale).ok()?.checked_sub(fraction)? as u32;
    let bound = 10u64.checked_pow(u32::from(precision).checked_sub(shift)?);
    let fits = bound.is_none_or(|bound| value < bound);
    let digits = text.len() > usize::from(whole.is_some());
    (fits && digits).then(|| N::usize_as(value as usize).mul_wrapping(ten_to(shift)))
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value.abs() <= i64::from(i32::MAX)).then_some(value)
}

/// A power of ten that `N` holds.
pub(crate) fn ten_to<N: Unscaled>(digits: u32) -> N {
    N::usize_as(10).pow_wrapping(digits)
}

/// Appends plain digits, with as many behind the point as the scale says.
pub(crate) fn push<N: Unscaled>(out: &mut Vec<u8>, unscaled: N, scale: i8) {
    if unscaled.is_negative() {
        out.push(b'-');
    }
    let mut room = N::Digits::default();
    let digits = unscaled.digits(&mut room);
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        let zeros = if unscaled.is_zero() { 0 } else { usize::from(scale.unsigned_abs()) };
        out.resize(out.len() + zeros, b'0');
        return;
    };
    let whole = digits.len().saturating_sub(scale);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits[..whole] });
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(&digits[whole..]);
    }
}

/// The value of big-endian bytes in two's complement; `None` if it has more bits than `N`. No bytes are zero.
fn from_signed<N: Unscaled>(bytes: &[u8]) -> Option<N> {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { 0xff } else { 0 };
    let mut all = N::Bytes::default();
    let room = all.as_mut();
    let (more, last) = bytes.split_at(bytes.len().saturating_sub(room.len()));
    let (fill, end) = room.split_at_mut(room.len() - last.len());
    fill.fill(sign);
    end.copy_from_slice(last);
    let value = N::from_be(all);
    (more.iter().all(|byte| *byte == sign) && value.is_negative() == (sign == 0xff)).then_some(value)
}

/// The value of big-endian bytes in two's complement, times 10^-`scale`, as an unscaled value of
/// DECIMAL(`precision`, `wanted`); `bound` is 10^`precision`. The error is a sentence.
pub(crate) fn fit_signed<N: Unscaled>(
    bytes: &[u8],
    scale: i32,
    precision: u8,
    wanted: i8,
    bound: N,
) -> Result<N, String> {
    if scale == i32::from(wanted)
        && let Some(value) = from_signed::<N>(bytes)
        && value.is_lt(bound)
        && bound.neg_wrapping().is_lt(value)
    {
        return Ok(value);
    }
    let Some(value) = from_signed::<i256>(bytes) else {
        return Err(format!(
            "Cannot fit a decimal of {} bytes into DECIMAL({precision}, {wanted})",
            bytes.len()
        ));
    };
    if value == i256::ZERO {
        return Ok(N::ZERO);
    }
    let mut text = Vec::new();
    push(&mut text, value, 0);
    text.extend_from_slice(format!("e{}", -i64::from(scale)).as_bytes());
    parse(&text, precision, wanted).map_err(|misfit| {
        if let Ok(scale @ 0..) = i8::try_from(scale) {
            text.clear();
            push(&mut text, value, scale);
        }
        misfit.message(&String::from_utf8_lossy(&text), precision, wanted)
    })
}

/// Hands over the value in two's complement, big-endian, in as few bytes as hold it.
pub(crate) fn with_signed<N: Unscaled, R>(unscaled: N, write: impl FnOnce(&[u8]) -> R) -> R {
    let bytes = unscaled.to_be();
    let redundant = (unscaled.sign_bits() as usize - 1) / 8;
    write(&bytes.as_ref()[redundant..])
}

/// The value at another scale; `None` if it had to be rounded or has too many digits.
pub(crate) fn rescale(unscaled: i256, scale: i8, wanted: i8) -> Option<i256> {
    let factor = i256::from_i128(10).checked_pow(u32::from(scale.abs_diff(wanted)))?;
    if wanted > scale {
        return unscaled.checked_mul(factor);
    }
    (unscaled.checked_rem(factor)? == i256::ZERO).then(|| unscaled.wrapping_div(factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wide(text: &str) -> i256 {
        i256::from_string(text).expect("digits")
    }

    #[test]
    fn decimals_fit_exactly_or_not_at_all() {
        for (text, precision, scale, expected) in [
            ("12.50", 4, 2, Ok(1250)),
            ("12.5", 4, 2, Ok(1250)),
            ("12.500", 4, 2, Ok(1250)),
            ("-0.01", 4, 2, Ok(-1)),
            ("1e1", 4, 2, Ok(1000)),
            ("0", 4, 2, Ok(0)),
            ("0.000", 4, 2, Ok(0)),
            (".5", 4, 2, Ok(50)),
            ("5.", 4, 2, Ok(500)),
            ("99.99", 4, 2, Ok(9999)),
            ("0000000099.99", 4, 2, Ok(9999)),
            ("100", 4, 2, Err(Misfit::Rounds { precision: 3, scale: 0 })),
            ("100.0", 4, 2, Err(Misfit::Rounds { precision: 4, scale: 1 })),
            ("999999999999999999", 18, 0, Ok(999_999_999_999_999_999)),
            ("1", 3, 3, Err(Misfit::Rounds { precision: 1, scale: 0 })),
            ("-0.0", 1, 1, Ok(0)),
            ("12.345", 4, 2, Err(Misfit::Rounds { precision: 5, scale: 3 })),
            ("123.4", 4, 2, Err(Misfit::Rounds { precision: 4, scale: 1 })),
            ("1e40", 38, 0, Err(Misfit::Rounds { precision: 1, scale: -40 })),
            ("99999999999999999999999999999999999999", 38, 0, Ok(10i128.pow(38) - 1)),
        ] {
            assert_eq!(parse::<i128>(text.as_bytes(), precision, scale), expected, "{text}");
            assert_eq!(parse(text.as_bytes(), precision, scale), expected.map(i256::from_i128), "{text}");
        }
        for text in ["", "-", "+.", ".", "1.2.3", "--1", "1-", "abc", "1e", "1e99999999999"] {
            assert_eq!(parse::<i128>(text.as_bytes(), 4, 2), Err(Misfit::NotANumber), "{text}");
        }
        let (nines, tens) = ("9".repeat(76), format!("1{}", "0".repeat(75)));
        for (text, precision, scale, expected) in [
            (nines.as_str(), 76, 0, Ok(nines.as_str())),
            (&format!("-{}.{}", &nines[..40], &nines[40..]), 76, 36, Ok(&format!("-{nines}"))),
            ("1e75", 76, 0, Ok(&tens)),
            ("1e74", 76, 1, Ok(&tens)),
            ("1e76", 76, 0, Err(Misfit::Rounds { precision: 1, scale: -76 })),
            (&format!("{nines}9"), 76, 0, Err(Misfit::Rounds { precision: 77, scale: 0 })),
            (&format!("{nines}.9"), 76, 0, Err(Misfit::Rounds { precision: 77, scale: 1 })),
        ] {
            assert_eq!(parse(text.as_bytes(), precision, scale), expected.map(wide), "{text}");
        }
    }

    #[test]
    fn the_message_names_what_is_required() {
        let misfit = parse::<i128>(b"12.345", 4, 2).expect_err("three digits behind the point");
        assert_eq!(
            misfit.message("12.345", 4, 2),
            "Cannot fit decimal '12.345' into DECIMAL(4, 2) without rounding. (Requires 5,3)"
        );
    }

    #[test]
    fn bytes_are_twos_complement() {
        for (bytes, value) in [
            (&[][..], Some(0)),
            (&[0xff], Some(-1)),
            (&[0, 0xff], Some(255)),
            (&[0x04, 0xd2], Some(1234)),
            (&[0xff; 40], Some(-1)),
            (&[0x7f; 17], None),
            (&[0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
        ] {
            assert_eq!(from_signed(bytes), value, "{bytes:x?}");
            if let Some(value) = value {
                assert_eq!(from_signed(bytes), Some(i256::from_i128(value)), "{bytes:x?}");
            }
        }
        let most = [&[0x7f][..], &[0xff; 31]].concat();
        assert_eq!(from_signed(&most), Some(i256::MAX));
        assert_eq!(from_signed(&[0x80, 0, 0]), Some(i256::from_i128(-0x80_0000)));
        assert_eq!(from_signed::<i256>(&[&[0][..], &[0x80; 32]].concat()), None);
    }

    #[test]
    fn bytes_of_another_scale_fit_exactly_or_not_at_all() {
        let fit = |value: &str, scale, precision, wanted| {
            with_signed(wide(value), |bytes| {
                fit_signed(bytes, scale, precision, wanted, ten_to::<i256>(u32::from(precision)))
            })
        };
        let zeros = "0".repeat(60);
        for (value, scale, precision, wanted, expected) in [
            ("1234", 2, 4, 2, Ok("1234")),
            ("1234", 1, 5, 2, Ok("12340")),
            ("0", i32::MIN, 5, 2, Ok("0")),
            (&format!("-7{zeros}"), 60, 2, 1, Ok("-70")),
            (&format!("7{zeros}"), 2, 61, 2, Ok(&format!("7{zeros}"))),
            ("12345", 3, 4, 2, Err("'12.345' into DECIMAL(4, 2) without rounding. (Requires 5,3)")),
            ("10000", 2, 4, 2, Err("'100.00' into DECIMAL(4, 2) without rounding. (Requires 5,2)")),
            ("1", -2, 4, 2, Err("'1e2' into DECIMAL(4, 2) without rounding. (Requires 1,-2)")),
            ("1", 5000, 4, 2, Err("'1e-5000' into DECIMAL(4, 2) without rounding. (Requires 1,5000)")),
        ] {
            let expected = expected.map(wide).map_err(|end| format!("Cannot fit decimal {end}"));
            assert_eq!(fit(value, scale, precision, wanted), expected, "{value} of scale {scale}");
        }
        let long = fit_signed(&[1; 33], 0, 76, 0, ten_to::<i256>(76));
        assert_eq!(long, Err("Cannot fit a decimal of 33 bytes into DECIMAL(76, 0)".to_owned()));
    }

    #[test]
    fn the_border_between_the_types_is_38_digits() {
        for (precision, expected) in [
            (1, DataType::Decimal128(1, 0)),
            (38, DataType::Decimal128(38, 0)),
            (39, DataType::Decimal256(39, 0)),
            (76, DataType::Decimal256(76, 0)),
        ] {
            assert_eq!(decimal_type(precision, 0), expected);
        }
        for (named, expected) in
            [(None, 64), (Some(0), 64), (Some(39), 39), (Some(77), 76), (Some(1 << 40), 76)]
        {
            assert_eq!(column_precision(named), expected, "{named:?}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_survives_its_text(unscaled in -(10i128.pow(38) - 1)..10i128.pow(38), scale in -3i8..=38) {
            let mut text = Vec::new();
            push(&mut text, unscaled, scale);
            prop_assert_eq!(parse(&text, 38, scale), Ok(unscaled));
        }

        #[test]
        fn a_wide_decimal_survives_its_text_and_bytes(digits in "-?[1-9][0-9]{0,75}", scale in 0i8..=76) {
            let unscaled = wide(&digits);
            let mut text = Vec::new();
            push(&mut text, unscaled, scale);
            prop_assert_eq!(parse(&text, 76, scale), Ok(unscaled));
            prop_assert_eq!(unscaled.digit_count() as usize, digits.trim_start_matches('-').len());
            text.clear();
            push(&mut text, unscaled, 0);
            prop_assert_eq!(String::from_utf8_lossy(&text), digits);
            let bytes = with_signed(unscaled, <[u8]>::to_vec);
            prop_assert_eq!(from_signed(&bytes), Some(unscaled));
            // One byte less would not do.
            prop_assert_ne!(from_signed(&bytes[1..]), Some(unscaled));
            if let Some(narrow) = unscaled.to_i128() {
                prop_assert_eq!(narrow.digit_count(), unscaled.digit_count());
                prop_assert_eq!(with_signed(narrow, <[u8]>::to_vec), bytes);
            }
        }
    }
}
