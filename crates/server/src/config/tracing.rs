//! How the gateway takes part in traces: a kind of value, what must fit together, and the variables that
//! OpenTelemetry has for all programs.

use std::collections::BTreeMap;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::high::{OtlpConfig, OtlpHeaders, TracingConfig};
use super::kind::{Kind, Raw, quoted};
use super::layers::{Given, Layer};
use super::mistake::{Mistake, Problem};
use super::option::ConfigOption;
use super::options::Found;
use super::origin::Origin;
use super::sources::Environment;
use super::words::{OtlpProtocol, Word as _};
use crate::outbound::OutboundUrl;

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

/// Where a collector is. Whether it may be asked without TLS another option says.
pub(super) struct Collector;

impl Kind for Collector {
    type Value = OutboundUrl;
    const VALUE_NAME: &'static str = "URL";

    fn accepts(&self) -> String {
        "an https:// or http:// address, without a user's name".to_owned()
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<OutboundUrl> {
        let Raw::Text(text) = raw else { return None };
        OutboundUrl::of_any_machine(text).ok()
    }

    fn literal(&self, value: &OutboundUrl) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

/// Attributes of a resource, as OpenTelemetry writes them into a variable.
pub(super) struct ResourceAttributes;

/// The most attributes, and the longest key or value in bytes: they go with every batch of spans.
const MAX_ATTRIBUTES: usize = 64;
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// What is written as it is in a value: what no list and no percent-encoding gives a meaning.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b':');

impl ResourceAttributes {
    const NONE: &str = "none";

    fn pair(pair: &str) -> Option<(String, String)> {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
        let key = key.trim();
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = is_key && key.len() <= MAX_ATTRIBUTE_BYTES && value.len() <= MAX_ATTRIBUTE_BYTES;
        fits.then(|| (key.to_owned(), value))
    }
}

impl Kind for ResourceAttributes {
    type Value = BTreeMap<String, String>;
    const VALUE_NAME: &'static str = "PAIRS";

    fn accepts(&self) -> String {
        format!("at most {MAX_ATTRIBUTES} of `key=value` with commas between them, or {:?}", Self::NONE)
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<Self::Value> {
        let Raw::Text(text) = raw else { return None };
        if text == Self::NONE {
            return Some(BTreeMap::new());
        }
        let pairs = text.split(',').map(Self::pair).collect::<Option<BTreeMap<_, _>>>()?;
        (pairs.len() <= MAX_ATTRIBUTES).then_some(pairs)
    }

    fn literal(&self, value: &Self::Value) -> Option<String> {
        let pairs = value.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, ENCODED)));
        let text = pairs.collect::<Vec<_>>().join(",");
        Some(quoted(if text.is_empty() { Self::NONE } else { &text }))
    }
}

/// What is told of traces, and to whom; `None` if that is a mistake, or cannot be said for another one.
pub(super) fn tracing(found: &Found, mistakes: &mut Vec<Mistake>) -> Option<TracingConfig> {
    let share = found.otlp_sample_ratio.as_ref()?.value;
    let endpoint = found.otlp_endpoint.as_ref()?;
    let export = match &endpoint.value {
        Some(collector) => Some(export(found, collector, &endpoint.origin, mistakes)?),
        None => no_export(found, mistakes).map(|()| None)?,
    };
    Some(TracingConfig { sampled_per_million: share, export })
}

fn export(found: &Found, collector: &OutboundUrl, origin: &Origin, mistakes: &mut Vec<Mistake>) -> Option<OtlpConfig> {
    let (file, variable) = (found.otlp_headers_file.as_ref()?, found.otlp_headers_variable.as_ref()?);
    let headers = match (&file.value, &variable.value) {
        (Some(_), Some(_)) => {
            let [first, second] = [HEADERS_FILE, HEADERS_VARIABLE].map(ConfigOption::find);
            let problem = Problem::Both { first: first?, second: second? };
            mistakes.push(Mistake { origin: variable.origin.clone(), problem });
            return None;
        }
        (Some(path), None) => Some(OtlpHeaders::File(path.clone())),
        (None, Some(name)) => Some(OtlpHeaders::Variable(name.clone())),
        (None, None) => None,
    };
    let endpoint = match (collector.is_exposed(), found.otlp_insecure.as_ref()?.value) {
        (true, false) => {
            mistakes.push(Mistake { origin: origin.clone(), problem: Problem::PlaintextSpans });
            return None;
        }
        (_, true) => collector.clone().vouched_for(),
        (false, false) => collector.clone(),
    };
    let (name, attributes) = (found.otlp_service_name.as_ref()?, &found.otlp_resource_attributes.as_ref()?.value);
    // The name that is said as an attribute counts where it is not said by itself.
    let service_name = match (&name.origin, attributes.get(SERVICE_NAME)) {
        (Origin::Default, Some(said)) => said,
        _ => &name.value,
    };
    Some(OtlpConfig {
        endpoint,
        protocol: found.otlp_protocol.as_ref()?.value,
        headers,
        authority: found.otlp_ca.as_ref()?.value.clone(),
        service_name: service_name.clone(),
        resource_attributes: attributes.clone(),
    })
}

/// There is no collector: whether nothing was given that belongs to one.
fn no_export(found: &Found, mistakes: &mut Vec<Mistake>) -> Option<()> {
    let (file, variable) = (found.otlp_headers_file.as_ref()?, found.otlp_headers_variable.as_ref()?);
    let (authority, insecure) = (found.otlp_ca.as_ref()?, found.otlp_insecure.as_ref()?);
    let of_nothing = [
        (HEADERS_FILE, file.value.is_some(), &file.origin),
        (HEADERS_VARIABLE, variable.value.is_some(), &variable.origin),
        ("otlp.ca", authority.value.is_some(), &authority.origin),
        ("otlp.insecure_plaintext", insecure.value, &insecure.origin),
    ];
    let Some((given, _, origin)) = of_nothing.into_iter().find(|(_, is_given, _)| *is_given) else { return Some(()) };
    let (given, missing) = (ConfigOption::find(given)?, ConfigOption::find(ENDPOINT)?);
    mistakes.push(Mistake { origin: origin.clone(), problem: Problem::HalfOtlp { given, missing } });
    None
}

const ENDPOINT: &str = "otlp.endpoint";
const PROTOCOL: &str = "otlp.protocol";
const HEADERS_FILE: &str = "otlp.headers_file";
const HEADERS_VARIABLE: &str = "otlp.headers_variable";

/// The attribute that is the service's name.
const SERVICE_NAME: &str = "service.name";

/// Variables that OpenTelemetry has for all programs, the one for traces before the one for everything, and the options
/// that they stand for.
const STANDARD: &[(&str, &str)] = &[
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ENDPOINT),
    (BASE_ENDPOINT, ENDPOINT),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", PROTOCOL),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOL),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", HEADERS_VARIABLE),
    ("OTEL_EXPORTER_OTLP_HEADERS", HEADERS_VARIABLE),
    ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "otlp.ca"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "otlp.ca"),
    (SAMPLER_SHARE, "otlp.sample_ratio"),
    ("OTEL_SERVICE_NAME", "otlp.service_name"),
    ("OTEL_RESOURCE_ATTRIBUTES", "otlp.resource_attributes"),
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
        |(name, key): &(&str, &str)| *key == ENDPOINT && env.get(*name).is_some_and(|value| !value.is_empty());
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
            // Headers are secret: what is known of them is where they are.
            Some(_) if *key == HEADERS_VARIABLE && is_given(HEADERS_FILE) => {}
            Some(_) if *key == HEADERS_VARIABLE => {
                layer.insert(key, Given { raw: Raw::Text((*name).to_owned()), origin });
            }
            Some(text) => {
                layer.insert(key, Given { raw: Raw::Text(text.to_owned()), origin });
            }
        }
    }
    complete(&mut layer, is_grpc(env, is_given));
    layer
}

/// Whether the variables speak of gRPC, as far as they are heard.
fn is_grpc(env: &Environment, is_given: impl Fn(&str) -> bool) -> bool {
    let names = STANDARD.iter().filter(|(_, key)| *key == PROTOCOL && !is_given(PROTOCOL)).map(|(name, _)| name);
    let said = names.filter_map(|name| env.get(*name)).find(|said| !said.is_empty());
    said.is_some_and(|said| said == OtlpProtocol::Grpc.word())
}

/// The address of a collector stands for the one for traces below it, over HTTP.
fn complete(layer: &mut Layer, is_grpc: bool) {
    let is_base = |given: &&mut Given| matches!(&given.origin, Origin::Environment(name) if name == BASE_ENDPOINT);
    if let Some(Given { raw: Raw::Text(text), .. }) = layer.get_mut(ENDPOINT).filter(is_base)
        && !is_grpc
    {
        *text = format!("{}{TRACES_PATH}", text.trim_end_matches('/'));
    }
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
    fn attributes_are_pairs_and_are_written_as_they_are_read() {
        let read = |text: &str| ResourceAttributes.read(&Raw::Text(text.to_owned()), Path::new("/"));
        let found = read("a=1, deployment.environment.name = x%20y%2C ,a=2").unwrap();
        let told: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(told, [("a", "2"), ("deployment.environment.name", "x y,")], "the last one of a name counts");
        let written = ResourceAttributes.literal(&found).unwrap();
        assert_eq!(written, r#""a=2,deployment.environment.name=x%20y%2C""#);
        assert_eq!(read(written.trim_matches('"')), Some(found));
        assert_eq!(
            (read("none"), ResourceAttributes.literal(&BTreeMap::new()).unwrap()),
            (Some(BTreeMap::new()), r#""none""#.to_owned())
        );
        for bad in ["", "a", "=1", "a=%FF", "a b=1", "a=1,"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
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
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert!(told(&[grpc]).is_empty(), "there is no collector");
        assert_eq!(told(&[endpoint, grpc])[0].1, r#""http://localhost:4318/""#, "gRPC has no path");
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret");
        let named = ("otlp.headers_variable", format!("{:?}", headers.0));
        assert_eq!(told(&[endpoint, headers])[1], named, "not what is in it");
        assert_eq!(told(&[endpoint, ("OTEL_SERVICE_NAME", "x")]).len(), 1, "our own option is given");
        assert_eq!(told(&[endpoint, (SAMPLER_SHARE, "0.5")]).len(), 1, "the default sampler has no share");
        let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        let both = told(&[endpoint, (SAMPLER_SHARE, "0.5"), sampler]);
        assert_eq!(both[1], ("otlp.sample_ratio", r#""0.5""#.to_owned()));
    }
}
