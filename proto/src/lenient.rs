//! Liberal decoding: other implementations of the same messages write numbers as strings, booleans
//! as `"YES"`, and leave fields out.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use crate::units;

/// Largest magnitude up to which a float is taken for a whole number (2^53).
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// A non-negative whole number, written as a number or as its decimal string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) u64);

/// A whole number of either sign, written as a number or as its decimal string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signed(pub(crate) i64);

/// Any finite number, written as a number or as its decimal string.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number(pub(crate) f64);

/// A time in seconds, written as a number of them or as a duration with its unit, such as `250ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seconds(pub(crate) f64);

/// The same in milliseconds: a number without a unit is one of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Milliseconds(pub(crate) f64);

/// A truth value, written as a boolean, as 0 or 1, or as `YES`/`NO` and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truth(pub(crate) bool);

/// A text, written as a string or as a number (ids and timestamps of other implementations).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

/// A kind of whole number, by its range.
trait Integer: Sized {
    const EXPECTED: &'static str;

    fn of(value: i128) -> Option<Self>;
}

impl Integer for Whole {
    const EXPECTED: &'static str = "a whole number from 0 up";

    fn of(value: i128) -> Option<Self> {
        u64::try_from(value).ok().map(Self)
    }
}

impl Integer for Signed {
    const EXPECTED: &'static str = "a whole number";

    fn of(value: i128) -> Option<Self> {
        i64::try_from(value).ok().map(Self)
    }
}

struct IntegerVisitor<T>(PhantomData<T>);
struct NumberVisitor;
struct TimeVisitor;
struct TruthVisitor;
struct TextVisitor;

impl<T: Integer> Visitor<'_> for IntegerVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        T::of(value.into()).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        T::of(value.into()).ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }

    #[allow(clippy::cast_possible_truncation)] // guarded by the range
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        let is_exact = value.fract() == 0.0 && value.abs() <= EXACT_FLOAT_MAX;
        let whole = is_exact.then_some(value as i128).and_then(T::of);
        whole.ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let text = text.trim();
        if let Some(value) = text.parse().ok().and_then(T::of) {
            return Ok(value);
        }
        match text.parse::<f64>() {
            Ok(number) => self.visit_f64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
        if value.is_finite() {
            Ok(Number(value))
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
        match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Number(value)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// A time as it is written: a number in the unit that its name says, or with a unit of its own.
enum Time {
    Plain(f64),
    Ns(u64),
}

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a duration such as 250ms, 1.5s or 2m")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Time, E> {
        Ok(Time::Plain(value as f64))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Time, E> {
        Ok(Time::Plain(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Time, E> {
        NumberVisitor
            .visit_f64(value)
            .map(|Number(value)| Time::Plain(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        if let Ok(Number(value)) = NumberVisitor.visit_str::<E>(text) {
            return Ok(Time::Plain(value));
        }
        let ns = units::parse_duration_ns(text);
        ns.map(Time::Ns)
            .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = deserializer.deserialize_any(TimeVisitor)?;
        Ok(Self(match time {
            Time::Plain(seconds) => seconds,
            Time::Ns(ns) => units::ns_to_seconds(ns),
        }))
    }
}

impl<'de> Deserialize<'de> for Milliseconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = deserializer.deserialize_any(TimeVisitor)?;
        Ok(Self(match time {
            Time::Plain(ms) => ms,
            Time::Ns(ns) => units::ns_to_ms(ns),
        }))
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl From<Milliseconds> for f64 {
    fn from(ms: Milliseconds) -> Self {
        ms.0
    }
}

impl Visitor<'_> for TruthVisitor {
    type Value = Truth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false, YES or NO, 1 or 0")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Truth, E> {
        Ok(Truth(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Truth, E> {
        match value {
            0 => Ok(Truth(false)),
            1 => Ok(Truth(true)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Truth, E> {
        self.visit_u64(u64::try_from(value).unwrap_or(u64::MAX))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Truth, E> {
        match text.trim().to_ascii_lowercase().as_str() {
            "yes" | "true" | "1" | "on" => Ok(Truth(true)),
            "no" | "false" | "0" | "off" => Ok(Truth(false)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }
}

/// A number of others' measurements: whatever is none, or less than 0, is no number.
struct MeasuredVisitor;

impl<'de> Visitor<'de> for MeasuredVisitor {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or nothing")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<f64>, E> {
        Ok(Some(value).filter(|value| value.is_finite() && *value >= 0.0))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<f64>, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<f64>, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<f64>, E> {
        text.trim()
            .parse()
            .map_or(Ok(None), |value| self.visit_f64(value))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<f64>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<f64>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<f64>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<f64>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntegerVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntegerVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TruthVisitor)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

impl From<Whole> for u64 {
    fn from(whole: Whole) -> Self {
        whole.0
    }
}

impl From<Signed> for i64 {
    fn from(signed: Signed) -> Self {
        signed.0
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> Self {
        number.0
    }
}

impl From<Truth> for bool {
    fn from(truth: Truth) -> Self {
        truth.0
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

/// For `#[serde(deserialize_with)]`: a value in its liberal form `L`, kept as `T`.
pub(crate) fn one<'de, D, L, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    L: Deserialize<'de> + Into<T>,
{
    L::deserialize(deserializer).map(Into::into)
}

/// For `#[serde(default, deserialize_with)]`: as [`one`], where absent and `null` mean `None`.
pub(crate) fn option<'de, D, L, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    L: Deserialize<'de> + Into<T>,
{
    Option::<L>::deserialize(deserializer).map(|value| value.map(Into::into))
}

/// For `#[serde(default, deserialize_with)]`: as [`one`], where absent and `null` mean the type's
/// default.
pub(crate) fn or_default<'de, D, L, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    L: Deserialize<'de> + Into<T>,
    T: Default,
{
    option::<D, L, T>(deserializer).map(Option::unwrap_or_default)
}

/// [`or_default`] of the most frequent kind: a count, of which there is none when it is not said.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    or_default::<D, Whole, u64>(deserializer)
}

/// For `#[serde(default, deserialize_with)]`: a latency or the like that another implementation
/// measured; `None` for what cannot be one.
pub(crate) fn measured<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    d.deserialize_any(MeasuredVisitor)
}

/// For `#[serde(default, deserialize_with)]`: `null` is as good as absent.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
