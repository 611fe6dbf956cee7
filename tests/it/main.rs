//! Tests through the public interface, in one binary so that there is one link. Files are named
//! after one behaviour.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod architecture;
mod between_records;
mod browser;
mod commands;
mod cross_patient;
mod demo;
mod docs;
mod durability;
mod examples;
mod g10_checklist;
mod guards;
mod hostile_parsers;
mod import;
mod letters;
mod reindex;
mod rest_access;
mod rest_audit;
mod rest_binary;
mod rest_bundle;
mod rest_capability;
mod rest_conditional;
mod rest_errors;
mod rest_graphql;
mod rest_hostile;
mod rest_interactions;
mod rest_operations;
mod rest_patch;
mod rest_provenance;
mod rest_record;
mod rest_search;
mod rest_search_links;
mod rest_search_terms;
mod rest_search_values;
mod rest_served;
mod rest_support;
mod rest_synthea;
mod rest_xml_patch;
pub mod search_parameter;
mod search_truth;
mod smart_activation;
mod smart_activity;
mod smart_apps;
mod smart_attacks;
mod smart_attacks_generated;
mod smart_attacks_ids;
mod smart_backend;
mod smart_brands;
mod smart_code_flow;
mod smart_consent;
mod smart_developers;
mod smart_developers_change;
mod smart_digest;
mod smart_discovery;
mod smart_factors;
mod smart_granular;
mod smart_hostile;
mod smart_introspection;
mod smart_jwks;
mod smart_keys;
mod smart_kiosk;
mod smart_language;
mod smart_launch;
mod smart_logo;
mod smart_minors;
mod smart_passwords;
mod smart_register;
mod smart_representative;
mod smart_sessions;
mod smart_sign_in;
mod smart_staff;
mod smart_statement;
mod smart_support;
mod smart_upstream;
mod support;
mod tls;
mod twin;
mod two_servers;
mod xml_round_trip;
