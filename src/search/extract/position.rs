//! Where a Location is (R4 Location.position, WGS84 degrees), as two numbers that both databases can
//! compute with: SQLite as it is built here has no sine.
//!
//! Places of a sphere are projected from the South Pole onto a plane (stereographically). A circle
//! around a place is then a circle of the plane, wherever it lies: across the 180th meridian and around
//! the North Pole, too. And how far apart two places are follows from their coordinates by products
//! alone: for `p` and `q` of the plane the chord between the places is
//! `2 |p - q| / sqrt((1 + |p|²)(1 + |q|²))`. The South Pole itself is very far out, some 10^16, where
//! numbers are still as exact in proportion.

/// Mean radius of the Earth in metres (IUGG): what distances are along.
pub const RADIUS: f64 = 6_371_008.8;

/// Nothing is nearer than that, in metres: positions are not told apart below.
const LEAST: f64 = 0.001;

/// A place in the plane; None for what is no place.
#[must_use]
pub fn project(latitude: f64, longitude: f64) -> Option<(f64, f64)> {
    if !(-90.0..=90.0).contains(&latitude) || !longitude.is_finite() {
        return None;
    }
    let out = ((90.0 - latitude) / 2.0).to_radians().tan();
    let (sin, cos) = (longitude % 360.0).to_radians().sin_cos();
    Some((out * cos, out * sin))
}

/// All places within a distance of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circle {
    /// The place in the middle.
    pub u: f64,
    pub v: f64,
    /// A place `p` is within where `|p - middle|²` is at most so many times `1 + |p|²`.
    pub reach: f64,
}

impl Circle {
    /// Around a place of the plane, metres along the sphere. None: all places are within.
    #[must_use]
    pub fn around((u, v): (f64, f64), distance: f64) -> Option<Self> {
        let half = distance.max(LEAST) / RADIUS / 2.0;
        if half >= std::f64::consts::FRAC_PI_2 {
            return None;
        }
        let reach = half.sin().powi(2) * (1.0 + u * u + v * v);
        Some(Self { u, v, reach })
    }

    /// Whether a place is within, said as the SQL says it.
    #[must_use]
    pub fn contains(&self, u: f64, v: f64) -> bool {
        (u - self.u) * (u - self.u) + (v - self.v) * (v - self.v)
            <= self.reach * (1.0 + u * u + v * v)
    }

    /// The least and the greatest `u` and `v` within, a little widened; None where the South Pole is
    /// within or nearly so.
    #[must_use]
    pub fn bounds(&self) -> Option<[(f64, f64); 2]> {
        let rest = 1.0 - self.reach;
        if rest < 1e-6 {
            return None;
        }
        let (u, v) = (self.u / rest, self.v / rest);
        let out = self.u * self.u + self.v * self.v;
        let radius = (self.reach * (out + rest)).sqrt() / rest;
        let wide = radius + 1e-9 * (1.0 + radius + u.abs() + v.abs());
        Some([(u - wide, u + wide), (v - wide, v + wide)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Great-circle distance by the haversine formula.
    fn metres((a, b): (f64, f64), (c, d): (f64, f64)) -> f64 {
        let [a, b, c, d] = [a, b, c, d].map(f64::to_radians);
        let h = ((c - a) / 2.0).sin().powi(2) + a.cos() * c.cos() * ((d - b) / 2.0).sin().powi(2);
        2.0 * RADIUS * h.min(1.0).sqrt().asin()
    }

    fn place() -> impl Strategy<Value = (f64, f64)> {
        let latitude = prop_oneof![
            -90.0..=90.0,
            Just(-90.0),
            Just(90.0),
            Just(0.0),
            -90.0..-89.999
        ];
        let longitude = prop_oneof![-180.0..=180.0, Just(180.0), Just(-180.0), 179.99..180.0];
        (latitude, longitude)
    }

    proptest! {
        #[test]
        fn circles_contain_what_is_near(here in place(), there in place(), far in 0.0_f64..1.3, by in -0.9..1.2) {
            // Beside the other place, and anywhere.
            let distance = metres(here, there);
            for asked in [distance * (1.0 + by), distance * far, far * 2e7, far] {
                // Along the great circle both are right to about a millimetre; near the antipode less.
                let slack = 0.01 + if distance > 1.99e7 { 1.0 } else { 0.0 };
                if (asked - distance).abs() < slack {
                    continue;
                }
                let (u, v) = project(there.0, there.1).unwrap();
                let expected = distance < asked;
                match Circle::around(project(here.0, here.1).unwrap(), asked) {
                    None => prop_assert!(expected),
                    Some(circle) => {
                        prop_assert_eq!(circle.contains(u, v), expected, "{} {}", asked, distance);
                        if let (true, Some([of_u, of_v])) = (expected, circle.bounds()) {
                            prop_assert!(of_u.0 <= u && u <= of_u.1 && of_v.0 <= v && v <= of_v.1);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_place_is_near_itself_however_it_is_written() {
        for (here, there) in [
            ((42.2565, -83.69481), (42.2565, -83.69481)),
            ((90.0, 0.0), (90.0, 77.0)),
            ((-90.0, 0.0), (-90.0, -123.0)),
            ((10.0, 180.0), (10.0, -180.0)),
            ((-16.5, 190.0), (-16.5, -170.0)),
        ] {
            let circle = Circle::around(project(here.0, here.1).unwrap(), 0.0).unwrap();
            let (u, v) = project(there.0, there.1).unwrap();
            assert!(circle.contains(u, v), "{here:?} {there:?}");
        }
        assert_eq!(project(90.1, 0.0), None);
        assert_eq!(project(f64::NAN, 0.0), None);
        assert_eq!(project(0.0, f64::INFINITY), None);
    }
}
