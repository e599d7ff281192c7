//! Distances on the earth.

use std::f64::consts::PI;

use arrow::array::ArrayRef;
use arrow::datatypes::Float64Type;

use super::last::Last;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

const RADIUS_KM: f64 = 6371.0;
const RADIUS_MILES: f64 = 3959.0;

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        ScalarFunction::new(
            "geo_distance",
            "Distance of two points given by latitude and longitude, in kilometers or, with 'mi', in miles.",
        )
        .category(Category::Mathematical)
        .forms(
            &[
                "(DOUBLE!, DOUBLE!, DOUBLE!, DOUBLE!) -> DOUBLE",
                "(DOUBLE!, DOUBLE!, DOUBLE!, DOUBLE!, STRING) -> DOUBLE",
            ],
            distance,
        ),
    ]
}

fn distance(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let mut radius = Last::default();
    call.build::<Float64Type>(|row| {
        let at = |position| call.doubles(position).get(row);
        let (lat1, lon1, lat2, lon2) = (at(0)?, at(1)?, at(2)?, at(3)?);
        let unit = if call.arg_count() > 4 { call.strings(4).get(row).unwrap_or("") } else { "" };
        let radius = *call.check(radius.get(unit, radius_in))?;
        if [lat1, lat2].iter().any(|lat| !(-90.0..=90.0).contains(lat)) {
            return call.fail(format!("latitudes {lat1} and {lat2} must be -90 to 90"));
        }
        if [lon1, lon2].iter().any(|lon| !(-180.0..=180.0).contains(lon)) {
            return call.fail(format!("longitudes {lon1} and {lon2} must be -180 to 180"));
        }
        // In this order of steps, so that the last digit is as in ksqlDB.
        let radians = |degrees: f64| degrees / 180.0 * PI;
        let haversine = |angle: f64| (angle / 2.0).sin().powi(2);
        let chord = haversine(radians(lat2 - lat1))
            + haversine(radians(lon2 - lon1)) * radians(lat1).cos() * radians(lat2).cos();
        Some(2.0 * chord.sqrt().asin() * radius)
    })
}

fn radius_in(unit: &str) -> Result<f64, String> {
    match unit.trim().to_ascii_lowercase().as_str() {
        "" | "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => Ok(RADIUS_KM),
        "mi" | "mile" | "miles" => Ok(RADIUS_MILES),
        _ => Err(format!("unknown unit of distance '{unit}': it is km or mi")),
    }
}
