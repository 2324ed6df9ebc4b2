//! How the gateway takes part in traces: a kind of value, what must fit together, and the variables that
//! OpenTelemetry has for all programs.

use std::path::Path;

use super::high::{OtlpConfig, TracingConfig};
use super::kind::{Kind, Raw, quoted};
use super::layers::{Given, Layer};
use super::mistake::{Mistake, Problem};
use super::option::ConfigOption;
use super::options::Found;
use super::origin::Origin;
use super::sources::Environment;

/// A share of something, from none to all of it, in millionths.
pub(super) struct Share;

/// All of it.
const WHOLE: u32 = 1_000_000;

/// Digits after the point: a millionth.
const DIGITS: usize = 6;

impl Kind for Share {
    type Value = u32;
    const VALUE_NAME: &'static str = "SHARE";

    fn accepts(&self) -> String {
        format!("a decimal number from 0 to 1 with at most {DIGITS} digits after the point, in quotation marks")
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<u32> {
        let text = match raw {
            Raw::Text(text) => text.clone(),
            Raw::Number(number) => number.to_string(),
            Raw::Switch(_) | Raw::List(_) | Raw::Table(_) | Raw::Other(_) => return None,
        };
        let (whole, rest) = text.split_once('.').unwrap_or((&text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(rest) || rest.len() > DIGITS {
            return None;
        }
        let rest: u32 = format!("{rest:0<DIGITS$}").parse().ok()?;
        let share = whole.parse::<u32>().ok()?.checked_mul(WHOLE)?.checked_add(rest)?;
        (share <= WHOLE).then_some(share)
    }

    fn literal(&self, value: &u32) -> Option<String> {
        let text = format!("{}.{:0DIGITS$}", value / WHOLE, value % WHOLE);
        Some(quoted(text.trim_end_matches('0').trim_end_matches('.')))
    }
}

/// What is told of traces, and to whom; `None` if that is a mistake, or cannot be said for another one.
pub(super) fn tracing(found: &Found, mistakes: &mut Vec<Mistake>) -> Option<TracingConfig> {
    let (endpoint, headers) = (found.otlp_endpoint.as_ref()?, found.otlp_headers_file.as_ref()?);
    let (authority, share) = (found.otlp_ca.as_ref()?, found.otlp_sample_ratio.as_ref()?);
    found.otlp_protocol.as_ref()?;
    let export = match &endpoint.value {
        Some(endpoint) => Some(OtlpConfig {
            endpoint: endpoint.clone(),
            headers_file: headers.value.clone(),
            authority: authority.value.clone(),
            service_name: found.otlp_service_name.as_ref()?.value.clone(),
        }),
        None => {
            let of_nothing = [
                ("otlp.headers_file", headers.value.is_some(), &headers.origin),
                ("otlp.ca", authority.value.is_some(), &authority.origin),
            ];
            if let Some((given, _, origin)) = of_nothing.into_iter().find(|(_, is_given, _)| *is_given) {
                let (given, missing) = (ConfigOption::find(given)?, ConfigOption::find("otlp.endpoint")?);
                mistakes.push(Mistake { origin: origin.clone(), problem: Problem::HalfOtlp { given, missing } });
                return None;
            }
            None
        }
    };
    Some(TracingConfig { sampled_per_million: share.value, export })
}

/// Variables that OpenTelemetry has for all programs, the one for traces before the one for everything, and the options
/// that they stand for.
const STANDARD: &[(&str, &str)] = &[
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "otlp.endpoint"),
    (BASE_ENDPOINT, "otlp.endpoint"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "otlp.protocol"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "otlp.protocol"),
    ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "otlp.ca"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "otlp.ca"),
    (SAMPLER_SHARE, "otlp.sample_ratio"),
    ("OTEL_SERVICE_NAME", "otlp.service_name"),
];

/// Names a collector, below which the address for traces is.
const BASE_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Where a collector takes traces, below its address.
const TRACES_PATH: &str = "/v1/traces";

/// Means a share only to a sampler by share.
const SAMPLER_SHARE: &str = "OTEL_TRACES_SAMPLER_ARG";

/// What the standard variables say of options that nobody gives otherwise. They are set for every program of a machine,
/// so whoever speaks to this one is heard first. An empty one says nothing, as OpenTelemetry has it; none of them does
/// where tracing is switched off for all programs, and without the address of a collector they are not about us.
pub(super) fn standard(env: &Environment, is_given: impl Fn(&str) -> bool, mistakes: &mut Vec<Mistake>) -> Layer {
    let mut layer = Layer::new();
    let is = |name: &str, value: &str| env.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
    let is_address =
        |(name, key): &(&str, &str)| *key == "otlp.endpoint" && env.get(*name).is_some_and(|value| !value.is_empty());
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") || !STANDARD.iter().any(is_address) {
        return layer;
    }
    let by_share = ["traceidratio", "parentbased_traceidratio"].iter().any(|name| is("OTEL_TRACES_SAMPLER", name));
    for (name, key) in STANDARD {
        let Some(value) = env.get(*name).filter(|value| !value.is_empty()) else { continue };
        if is_given(key) || layer.contains_key(key) || *name == SAMPLER_SHARE && !by_share {
            continue;
        }
        let origin = Origin::Environment((*name).to_owned());
        match value.to_str() {
            None => mistakes.push(Mistake { origin, problem: Problem::NotUnicode }),
            Some(text) => {
                let is_base = *name == BASE_ENDPOINT;
                let text =
                    if is_base { format!("{}{TRACES_PATH}", text.trim_end_matches('/')) } else { text.to_owned() };
                layer.insert(key, Given { raw: Raw::Text(text), origin });
            }
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_decimal_and_is_written_as_one() {
        for (text, share) in [
            ("0", Some(0)),
            ("1", Some(1_000_000)),
            ("1.0", Some(1_000_000)),
            ("0.25", Some(250_000)),
            ("0.000001", Some(1)),
            ("0.0000001", None),
            ("1.1", None),
            (".5", None),
            ("5.", None),
            ("-0.1", None),
            ("1e-3", None),
            ("", None),
        ] {
            assert_eq!(Share.read(&Raw::Text(text.to_owned()), Path::new("/")), share, "{text:?}");
        }
        let written = [0, 1, 250_000, 1_000_000].map(|share| Share.literal(&share).unwrap());
        assert_eq!(written, [r#""0""#, r#""0.000001""#, r#""0.25""#, r#""1""#]);
    }

    #[test]
    fn standard_variables_count_where_ours_say_nothing() {
        let told = |env: &[(&str, &str)]| {
            let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            let layer = standard(&env, |key| key == "otlp.service_name", &mut Vec::new());
            layer.into_iter().map(|(key, given)| (key, given.raw.shown())).collect::<Vec<_>>()
        };
        let endpoint = (BASE_ENDPOINT, "http://localhost:4318/");
        assert_eq!(told(&[endpoint]), [("otlp.endpoint", r#""http://localhost:4318/v1/traces""#.to_owned())]);
        let exact = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:1/t");
        assert_eq!(told(&[endpoint, exact]), [("otlp.endpoint", r#""http://localhost:1/t""#.to_owned())]);
        assert!(told(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).is_empty());
        assert!(told(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).is_empty());
        assert!(told(&[(BASE_ENDPOINT, "")]).is_empty());
        assert!(told(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).is_empty(), "there is no collector");
        assert_eq!(told(&[endpoint, ("OTEL_SERVICE_NAME", "x")]).len(), 1, "our own option is given");
        assert_eq!(told(&[endpoint, (SAMPLER_SHARE, "0.5")]).len(), 1, "the default sampler has no share");
        let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        let both = told(&[endpoint, (SAMPLER_SHARE, "0.5"), sampler]);
        assert_eq!(both[1], ("otlp.sample_ratio", r#""0.5""#.to_owned()));
    }
}
