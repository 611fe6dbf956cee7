//! Requests, ordinary and hostile, the same ones for the same seed.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::bodies;

/// Who asks. The tokens are the runner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    Feed,
    Patient,
    OtherPatient,
    /// No token.
    Nobody,
    /// A token that nobody issued.
    Forger,
}

impl Asker {
    /// Whether what is withheld may be in the answer.
    pub fn may_see_what_is_withheld(self) -> bool {
        self == Self::Feed
    }
}

/// One request, before its token.
#[derive(Debug, Clone)]
pub struct Request {
    pub asker: Asker,
    pub method: String,
    /// As it goes onto the wire, from the slash.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// The bytes on the wire.
    pub fn bytes(&self, token: Option<&str>) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\n",
            self.method, self.target
        );
        if let Some(token) = token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// For a message: what was asked, shortened.
    pub fn told(&self) -> String {
        let target: String = self.target.chars().take(300).collect();
        let body = self.body.as_deref().map(String::from_utf8_lossy);
        let body: String = body.unwrap_or_default().chars().take(400).collect();
        format!(
            "{:?} {} {target} {:?} {body}",
            self.asker, self.method, self.headers
        )
    }
}

/// Makes requests about the records of some patients.
#[derive(Debug)]
pub struct Generator {
    pub random: StdRng,
    /// Patients, the first of them the asker's own.
    patients: Vec<String>,
    /// References to what is stored.
    references: Vec<String>,
}

const TYPES: &str = r#"
    Patient Observation Condition Encounter DocumentReference DiagnosticReport Practitioner
    Organization MedicationRequest Task Consent Provenance AuditEvent Composition Bundle Group
    List ValueSet Binary Nonsense
"#;

/// Parameters with values of their kind.
const SEARCHES: &str = r#"
    patient={p} subject=Patient/{p} category=laboratory code=http://loinc.org|718-7
    code=718-7,4548-4 code:not=718-7 code:text=hem date=ge2020-01-01 date=lt2027 date=2026-11-10
    value-quantity=gt5 value-quantity=5.4|http://unitsofmeasure.org|g/dL status=final
    status:not=final _lastUpdated=gt2020-01-01 _id={r} identifier=x|y name=ru name:exact=Ruiz
    family:contains=ui birthdate=1984-02-29 gender=female subject:Patient.name=ruiz
    patient.birthdate=lt2000 encounter.class=AMB _has:Observation:patient:code=718-7
    _has:Provenance:target:agent=Practitioner/x _include=Observation:subject _include=*
    _revinclude=Observation:patient _revinclude=Provenance:target
    _include:iterate=Encounter:participant _sort=-date _sort=code,-_lastUpdated _sort=name
    _count=3 _count=0 _contained=true _contained=both&_containedType=contained _total=accurate _total=none _summary=count _summary=true _elements=id,status
    _content=note _text=see _filter=code%20eq%20718-7%20or%20status%20eq%20final code:missing=true
    value-quantity:missing=false _type=Observation,Condition _list=x _format=json _format=xml
    _pretty=true onset-date=ge2000 clinical-status=active code-value-quantity=718-7$gt5
    _security=PSYTHPN _profile=http://x.example/y url=http://x.example performer=Practitioner/x
    based-on:missing=false _tag=a|b _explain=true near=1|2
"#;

const VALUES: &str = r#"
    ' '%20OR%201=1-- " %27%20OR%20%271%27=%271 %00 %ff%fe % %zz %25 _ a%2Cb \ \, \$ $ | || |||||
    a|b|c|d %F0%9F%98%80 %E2%80%AE gt ge lt1e999999 1e400 -1e400 1e-400 99999999999999999999999999
    NaN 0001 9999-12-31 ap9999-12-31T23:59:59.999Z 0000-00-00 2026-02-30 2026-11-10T25:00:00Z
    -0001-01-01 Patient/ Patient/a/b/c http://[::1 urn:uuid: / // .. %2e%2e%2f true null *
    Observation:* Observation:subject:Nonsense - --date , ,,,, ( a%20eq%20b) eq
    %0d%0aset-cookie:x=y {} [] <a> ${jndi} %F4%90%80%80 %c0%af 1|2|3|4|5 5.4|| ne
    9223372036854775807 -9223372036854775808 18446744073709551616 0x10 +5 5. .5 1_000
"#;

const OPERATIONS: &str = r#"
    $everything $lastn $docref $validate $meta $meta-add $meta-delete $convert $release-policy
    $release-decision $release-ledger $verify-ledger $graphql $nonsense $ _history _history/1
    _history/0 _history/99999999999999999999 _search * Observation
"#;

const AUTH: &str = r#"
    /.well-known/smart-configuration /fhir/r4/.well-known/smart-configuration /fhir/r4/metadata
    /auth/token /auth/authorize /auth/consent /auth/introspect /auth/revoke /auth/register
    /auth/jwks /auth/userinfo /auth/end_session /login /logout /health/live /health/ready
    /policy/release /policy/release.json /brands /metrics / /nowhere /static/x.css
"#;

impl Generator {
    pub fn new(seed: u64, patients: Vec<String>, references: Vec<String>) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            patients,
            references,
        }
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the words of a list.
    fn word(&mut self, of: &'static str) -> &'static str {
        let words: Vec<&str> = of.split_ascii_whitespace().collect();
        self.one(&words)
    }

    pub fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = self.below(of.len());
        of.get(at).copied().unwrap_or_default()
    }

    fn patient(&mut self) -> String {
        let at = self.below(self.patients.len());
        self.patients.get(at).cloned().unwrap_or_default()
    }

    fn reference(&mut self) -> String {
        if self.chance(25) {
            return format!("Observation/{}", self.written());
        }
        let at = self.below(self.references.len());
        self.references.get(at).cloned().unwrap_or_default()
    }

    /// An id that writes use: few, so that the record stays small.
    pub fn written(&mut self) -> String {
        format!("fz-{}", self.below(200))
    }

    /// The next request.
    pub fn next(&mut self) -> Request {
        let asker = match self.below(20) {
            0..=6 => Asker::Feed,
            7..=14 => Asker::Patient,
            15..=17 => Asker::OtherPatient,
            18 => Asker::Nobody,
            _ => Asker::Forger,
        };
        let mut request = Request {
            asker,
            method: "GET".to_owned(),
            target: String::new(),
            headers: Vec::new(),
            body: None,
        };
        match self.below(100) {
            0..=14 => request.target = format!("/fhir/r4/{}", self.reference()),
            15..=49 => {
                let query = self.query(12);
                request.target = format!("/fhir/r4/{}?{query}", self.place());
            }
            50..=64 => {
                let query = self.query(70);
                request.target = format!("/fhir/r4/{}?{query}", self.place());
            }
            65..=69 => {
                request.method = "POST".to_owned();
                request.target = format!("/fhir/r4/{}/_search", self.word(TYPES));
                request.body = Some(self.query(30).into_bytes());
                let kind = ("content-type", "application/x-www-form-urlencoded");
                request.headers.push((kind.0.to_owned(), kind.1.to_owned()));
            }
            70..=76 => {
                let operation = self.word(OPERATIONS);
                let at = match self.below(3) {
                    0 => String::new(),
                    1 => format!("{}/", self.word(TYPES)),
                    _ => format!("{}/", self.reference()),
                };
                request.target = format!("/fhir/r4/{at}{operation}?{}", self.query(20));
                if self.chance(30) {
                    request.method = "POST".to_owned();
                    bodies::parameters(self, &mut request);
                }
            }
            77..=81 => request.target = self.path(),
            82..=91 => bodies::write(self, &mut request),
            92..=95 => {
                request.target = self.word(AUTH).to_owned();
                if self.chance(50) {
                    request.method = "POST".to_owned();
                    request.body = Some(bodies::form(self).into_bytes());
                    let kind = ("content-type", "application/x-www-form-urlencoded");
                    request.headers.push((kind.0.to_owned(), kind.1.to_owned()));
                } else {
                    request.target.push('?');
                    request.target.push_str(&bodies::form(self));
                }
            }
            _ => {
                let method = self.one(&[
                    "HEAD", "OPTIONS", "TRACE", "PROPFIND", "DELETE", "get", "PATCH", "PUT",
                ]);
                request.method = method.to_owned();
                // What the record rests on stays: only what the fuzzer wrote is deleted.
                request.target = if method == "HEAD" || method == "OPTIONS" {
                    format!("/fhir/r4/{}", self.reference())
                } else {
                    format!("/fhir/r4/Observation/{}", self.written())
                };
            }
        }
        if self.chance(15) {
            self.odd_header(&mut request);
        }
        // A line of HTTP has no spaces or controls within the target; some are sent nevertheless.
        if !self.chance(1) {
            request.target = request
                .target
                .chars()
                .map(|c| match c {
                    ' ' => "%20".to_owned(),
                    c if c.is_control() || !c.is_ascii() => "%3F".to_owned(),
                    c => c.to_string(),
                })
                .collect();
        }
        request
    }

    fn place(&mut self) -> String {
        match self.below(12) {
            0 => String::new(),
            1 => format!("Patient/{}/{}", self.patient(), self.word(TYPES)),
            2 => format!("Patient/{}/$everything", self.patient()),
            3 => format!("{}/_history", self.word(TYPES)),
            _ => self.word(TYPES).to_owned(),
        }
    }

    /// One to six parameters, so many of a hundred with an odd value.
    fn query(&mut self, odd: usize) -> String {
        let most = if self.chance(3) { 60 } else { 5 };
        let count = 1 + self.below(most);
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let mut one = self.word(SEARCHES).to_owned();
            if self.chance(odd) {
                let name = one.split('=').next().unwrap_or_default().to_owned();
                one = format!(
                    "{name}={}{}",
                    self.one(&["", "", "gt", "ap", "x|"]),
                    self.word(VALUES)
                );
            }
            if self.chance(odd / 10) {
                let modifier = self.one(&[
                    ":in",
                    ":below",
                    ":above",
                    ":of-type",
                    ":identifier",
                    ":Patient",
                    ":x",
                    ":",
                ]);
                one = one.replacen('=', &format!("{modifier}="), 1);
            }
            let reference = self.reference();
            let id = reference.split('/').nth(1).unwrap_or_default().to_owned();
            all.push(one.replace("{p}", &self.patient()).replace("{r}", &id));
        }
        all.join("&")
    }

    fn path(&mut self) -> String {
        let parts = [
            "fhir",
            "r4",
            "Patient",
            "..",
            ".",
            "",
            "%2f",
            "%2e%2e",
            "%00",
            "%ff",
            "a",
            "$meta",
            "_history",
            "1",
            "Observation",
            "metadata",
            "\u{1f600}",
            ";x=1",
            "%F0%9F%98%80",
            "Patient;x",
            "*",
            "_search",
            "%5c",
        ];
        let mut path = String::from(if self.chance(70) { "/fhir/r4" } else { "" });
        for _ in 0..1 + self.below(6) {
            path.push('/');
            path.push_str(self.one(&parts));
        }
        if self.chance(3) {
            path.push_str(&"/a".repeat(1 + self.below(400)));
        }
        path
    }

    fn odd_header(&mut self, request: &mut Request) {
        let long = "a".repeat(1 + self.below(4_000));
        let (name, value) = match self.below(14) {
            0 => (
                "accept",
                self.one(&["application/fhir+xml", "text/html", "*/*;q=0", "x", ";;,"]),
            ),
            1 => (
                "prefer",
                self.one(&[
                    "handling=strict",
                    "return=minimal",
                    "return=;;",
                    "respond-async",
                ]),
            ),
            2 => (
                "if-none-match",
                self.one(&["W/\"1\"", "*", "\"", "W/\"999999999999999999999\""]),
            ),
            3 => ("if-match", self.one(&["W/\"1\"", "*", "x", "W/\"-1\""])),
            4 => (
                "if-modified-since",
                self.one(&["yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"]),
            ),
            5 => (
                "if-none-exist",
                self.one(&["identifier=a|b", "%00", "_id=", "nonsense=1", "'"]),
            ),
            6 => ("range", self.one(&["bytes=0-1,5-", "x"])),
            7 => (
                "x-provenance",
                self.one(&["{}", "{\"resourceType\":\"Provenance\"}", "nonsense"]),
            ),
            8 => ("x-forwarded-for", self.one(&["' OR 1=1", "::1", ",,,"])),
            9 => ("cookie", long.as_str()),
            10 => ("accept-language", self.one(&["es", "*;q=9", "\u{ff}"])),
            11 => ("origin", self.one(&["null", "http://evil.example"])),
            12 => ("content-encoding", self.one(&["gzip", "br", "x"])),
            _ => ("x-request-id", long.as_str()),
        };
        request.headers.push((name.to_owned(), value.to_owned()));
    }
}
