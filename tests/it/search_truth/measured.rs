//! Composites with units, and places.

use serde_json::Value;

use super::address;
use super::queries::{Query, escape, has_token, numeric, query, refers};
use super::values::{PLACES, amount_fits, at, kilometres, position, target, text};

/// `near`, by itself, through references and beside other parameters.
pub fn near(all: &mut Vec<Query>) {
    fn is_near(one: &Value, here: (f64, f64), most: f64) -> bool {
        position(one).is_some_and(|there| {
            let away = kilometres(here, there);
            assert!(
                (away - most).abs() > 1e-5,
                "{here:?} {there:?} {most}: too close to tell"
            );
            away < most
        })
    }
    let elsewhere = [
        (42.3, -83.0),
        (-17.0, 180.0),
        (-17.0, -180.0),
        (0.0, -179.999),
        (-89.97, 100.0),
    ];
    for here in PLACES.iter().chain(&elsewhere).copied() {
        let (latitude, longitude) = here;
        for (distance, most) in [
            ("", 50.0),
            ("|0.001", 0.001),
            ("|11.20|km", 11.2),
            ("|7300|m", 7.3),
            ("|40|[mi_i]", 64.37376),
            ("|400", 400.0),
            ("||m", 50.0),
            ("|9999|km", 9999.0),
            ("|20015|km", 20_015.0),
            ("|30000|km", 30_000.0),
        ] {
            let asked = escape(&format!("{latitude}|{longitude}{distance}"));
            all.push(query(
                "Location",
                "near",
                format!("near={asked}"),
                move |_, one| is_near(one, here, most),
            ));
            if most > 100.0 {
                continue;
            }
            all.push(query(
                "Encounter",
                "near in a chain",
                format!("location.near={asked}"),
                move |world, one| {
                    let mut places = at(one, "location.location").into_iter().filter_map(target);
                    places.any(|to| {
                        world
                            .get(to)
                            .is_some_and(|place| is_near(place, here, most))
                    })
                },
            ));
        }
    }
    let two = [(42.2565, -83.694_81), (90.0, 12.0)];
    let asked = escape("42.2565|-83.69481|1|m,90|12|20|km").replace("%2C", ",");
    let is_either = move |one: &Value| is_near(one, two[0], 0.001) || is_near(one, two[1], 20.0);
    all.push(query(
        "Location",
        "near",
        format!("near={asked}"),
        move |_, one| is_either(one),
    ));
    all.push(query(
        "Location",
        "near",
        format!("near={asked}&name=t-place8"),
        move |_, one| is_either(one) && text(one, "name") == "t-place8",
    ));
    all.push(query(
        "Organization",
        "near in _has",
        format!("_has:Location:organization:near={asked}"),
        move |world, one| {
            let own = address(one);
            world
                .of("Location")
                .any(|place| refers(place, "managingOrganization", &own) && is_either(place))
        },
    ));
    for missing in [true, false] {
        all.push(query(
            "Location",
            ":missing",
            format!("near:missing={missing}"),
            move |_, one| position(one).is_none() == missing,
        ));
    }
}

/// Composites with a unit: what is found does not depend on the unit in which it was written.
pub fn in_units(all: &mut Vec<Query>) {
    let asked = [
        ("1.8", "m"),
        ("180", "cm"),
        ("71", "[in_i]"),
        ("1.80", "m"),
        ("0.0018", "km"),
        ("16", "kPa"),
        ("120", "mm[Hg]"),
        ("1.8", "kg"),
    ];
    for (number, unit) in asked {
        for prefix in ["", "ne", "gt", "lt", "ge", "le", "sa", "eb"] {
            for (param, code, system) in [
                ("code-value-quantity", "measure", "urn:truth%7C"),
                ("component-code-value-quantity", "part", ""),
                ("combo-code-value-quantity", "measure", ""),
            ] {
                let of_parts = param.starts_with("component");
                all.push(query(
                    "Observation",
                    "composite with unit",
                    format!(
                        "{param}={system}{code}${prefix}{number}{}{}",
                        "%7Chttp://unitsofmeasure.org%7C",
                        escape(unit)
                    ),
                    move |_, one| {
                        let mut places = if of_parts { Vec::new() } else { vec![one] };
                        if !param.starts_with("code") {
                            places.extend(at(one, "component"));
                        }
                        places.into_iter().any(|place| {
                            has_token(place, "code", Some("urn:truth"), code)
                                && at(place, "valueQuantity")
                                    .into_iter()
                                    .any(|own| amount_fits(prefix, number, unit, own))
                        })
                    },
                ));
            }
        }
    }
    // Heights of the synthetic patients, which are in cm.
    for (asked, least) in [("gt1.2", 120.0), ("gt1.5", 150.0), ("gt1.9", 190.0)] {
        all.push(query(
            "Observation",
            "composite with unit",
            format!("code-value-quantity=http://loinc.org%7C8302-2${asked}%7Chttp://unitsofmeasure.org%7Cm"),
            move |_, one| {
                has_token(one, "code", Some("http://loinc.org"), "8302-2")
                    && text(&one["valueQuantity"], "code") == "cm"
                    && numeric(&one["valueQuantity"]).is_some_and(|own| own > least)
            },
        ));
    }
}
