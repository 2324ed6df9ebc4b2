//! What a status code of OPC UA is as a quality and as a status of the contract.

use moorline_backend::contract::{Quality, Status, StatusCategory};
use opcua::types::StatusCode;

/// Status codes, without the bits that say something about the value, and the quality that each is (OPC UA Part 8,
/// Annex A). Others have the quality of their severity.
const QUALITIES: [(u32, u16); 16] = [
    (0x0096_0000, 216), // GoodLocalOverride
    (0x408F_0000, 20),  // UncertainNoCommunicationLastUsableValue
    (0x4090_0000, 68),  // UncertainLastUsableValue
    (0x4093_0000, 80),  // UncertainSensorNotAccurate
    (0x4094_0000, 84),  // UncertainEngineeringUnitsExceeded
    (0x4095_0000, 88),  // UncertainSubNormal
    (0x8031_0000, 24),  // BadNoCommunication
    (0x8032_0000, 32),  // BadWaitingForInitialData
    (0x8033_0000, 4),   // BadNodeIdInvalid
    (0x8034_0000, 4),   // BadNodeIdUnknown
    (0x8089_0000, 4),   // BadConfigurationError
    (0x808A_0000, 8),   // BadNotConnected
    (0x808B_0000, 12),  // BadDeviceFailure
    (0x808C_0000, 16),  // BadSensorFailure
    (0x808D_0000, 28),  // BadOutOfService
    (0x806F_0000, 4),   // BadNoMatch
];

/// The part of a status code that says what it is.
const CODE: u32 = 0xFFFF_0000;

/// The limits of a value: bits 8 and 9 of a status code, bits 0 and 1 of a quality.
const LIMITS_SHIFT: u32 = 8;

/// Families of bad codes, each by the codes that belong to it.
const COMMUNICATION: [StatusCode; 12] = [
    StatusCode::BadCommunicationError,
    StatusCode::BadNoCommunication,
    StatusCode::BadNotConnected,
    StatusCode::BadConnectionClosed,
    StatusCode::BadServerNotConnected,
    StatusCode::BadSecureChannelClosed,
    StatusCode::BadSecureChannelIdInvalid,
    StatusCode::BadSessionClosed,
    StatusCode::BadSessionIdInvalid,
    StatusCode::BadTimeout,
    StatusCode::BadRequestTimeout,
    StatusCode::BadShutdown,
];

const SECURITY: [StatusCode; 9] = [
    StatusCode::BadUserAccessDenied,
    StatusCode::BadIdentityTokenInvalid,
    StatusCode::BadIdentityTokenRejected,
    StatusCode::BadSecurityChecksFailed,
    StatusCode::BadSecurityModeInsufficient,
    StatusCode::BadCertificateUntrusted,
    StatusCode::BadCertificateInvalid,
    StatusCode::BadNotWritable,
    StatusCode::BadNotReadable,
];

/// What a server says of a certificate that it does not want, or that it does not want to say so of.
const CERTIFICATES: [StatusCode; 10] = [
    StatusCode::BadSecurityChecksFailed,
    StatusCode::BadNoValidCertificates,
    StatusCode::BadCertificateUntrusted,
    StatusCode::BadCertificateInvalid,
    StatusCode::BadCertificateTimeInvalid,
    StatusCode::BadCertificateHostNameInvalid,
    StatusCode::BadCertificateUriInvalid,
    StatusCode::BadCertificateUseNotAllowed,
    StatusCode::BadCertificateChainIncomplete,
    StatusCode::BadApplicationSignatureInvalid,
];

const CONFIGURATION: [StatusCode; 14] = [
    StatusCode::BadConfigurationError,
    StatusCode::BadNodeIdUnknown,
    StatusCode::BadNodeIdInvalid,
    StatusCode::BadNoMatch,
    StatusCode::BadBrowseNameInvalid,
    StatusCode::BadAttributeIdInvalid,
    StatusCode::BadIndexRangeInvalid,
    StatusCode::BadIndexRangeNoData,
    StatusCode::BadTypeMismatch,
    StatusCode::BadOutOfRange,
    StatusCode::BadWriteNotSupported,
    StatusCode::BadDataEncodingUnsupported,
    StatusCode::BadMethodInvalid,
    StatusCode::BadNotSupported,
];

const SOFTWARE: [StatusCode; 5] = [
    StatusCode::BadInvalidArgument,
    StatusCode::BadServiceUnsupported,
    StatusCode::BadNotImplemented,
    StatusCode::BadEncodingError,
    StatusCode::BadDecodingError,
];

/// The quality that a value with this code has.
pub(crate) fn quality(code: StatusCode) -> Quality {
    let bits = code.bits();
    let known = QUALITIES.iter().find(|(known, _)| *known == bits & CODE).map(|(_, quality)| *quality);
    let severity = if code.is_bad() {
        Quality::BAD.0
    } else if code.is_uncertain() {
        Quality::UNCERTAIN.0
    } else {
        Quality::GOOD.0
    };
    // The limits mean something only if the code is about a data value.
    let limits = if bits & 0x0C00 == 0x0400 { (bits >> LIMITS_SHIFT) & 0b11 } else { 0 };
    Quality(known.unwrap_or(severity) | u16::try_from(limits).unwrap_or_default())
}

/// What the code says of an operation or a value. The server has said it.
pub(crate) fn status(code: StatusCode) -> Status {
    if code.is_bad() {
        return Status::failed(category(code), raw(code));
    }
    let category = if code.is_uncertain() { StatusCategory::Warning } else { StatusCategory::Ok };
    Status { category, detail: raw(code), ..Status::OK }
}

/// What kind of failure a bad code is.
pub(crate) fn category(code: StatusCode) -> StatusCategory {
    let is_of = |family: &[StatusCode]| family.iter().any(|known| known.bits() & CODE == code.bits() & CODE);
    if is_of(&COMMUNICATION) {
        StatusCategory::CommunicationError
    } else if is_of(&SECURITY) {
        StatusCategory::SecurityError
    } else if is_of(&CONFIGURATION) {
        StatusCategory::ConfigurationError
    } else if is_of(&SOFTWARE) {
        StatusCategory::SoftwareError
    } else {
        StatusCategory::OperationalError
    }
}

/// The code's 32 bits as the contract's number.
pub(crate) fn raw(code: StatusCode) -> i32 {
    code.bits().cast_signed()
}

/// Whether a request that failed like this never reached the server, or its answer never came: the connection's fault.
pub(crate) fn is_of_connection(code: StatusCode) -> bool {
    category(code) == StatusCategory::CommunicationError
}

/// Whether this says that a certificate is not trusted or cannot be used.
pub(crate) fn is_of_certificate(code: StatusCode) -> bool {
    CERTIFICATES.iter().any(|known| known.bits() & CODE == code.bits() & CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_quality_of_its_name_or_of_its_severity() {
        for (code, quality_bits) in [
            (StatusCode::Good, 192),
            (StatusCode::GoodLocalOverride, 216),
            (StatusCode::Uncertain, 64),
            (StatusCode::UncertainLastUsableValue, 68),
            (StatusCode::UncertainInitialValue, 64),
            (StatusCode::Bad, 0),
            (StatusCode::BadNodeIdUnknown, 4),
            (StatusCode::BadSensorFailure, 16),
            (StatusCode::BadNoCommunication, 24),
            (StatusCode::BadWaitingForInitialData, 32),
            (StatusCode::BadUserAccessDenied, 0),
        ] {
            assert_eq!(quality(code), Quality(quality_bits), "{code}");
        }
    }

    #[test]
    fn limits_are_kept_and_overflow_changes_no_quality() {
        let high = StatusCode::from(0x0000_0400 | 0x0200);
        assert_eq!(quality(high), Quality(194));
        let overflowed = StatusCode::from(0x0000_0480);
        assert!(overflowed.overflow());
        assert_eq!(quality(overflowed), Quality::GOOD);
    }

    #[test]
    fn a_status_says_whether_it_went_well_and_what_it_is_about() {
        for (code, success, category) in [
            (StatusCode::Good, true, StatusCategory::Ok),
            (StatusCode::Uncertain, true, StatusCategory::Warning),
            (StatusCode::BadNodeIdUnknown, false, StatusCategory::ConfigurationError),
            (StatusCode::BadUserAccessDenied, false, StatusCategory::SecurityError),
            (StatusCode::BadConnectionClosed, false, StatusCategory::CommunicationError),
            (StatusCode::BadServiceUnsupported, false, StatusCategory::SoftwareError),
            (StatusCode::BadOutOfMemory, false, StatusCategory::OperationalError),
        ] {
            let status = status(code);
            assert_eq!((status.success, status.category), (success, category), "{code}");
            assert_eq!(status.detail.cast_unsigned(), code.bits());
        }
    }
}
