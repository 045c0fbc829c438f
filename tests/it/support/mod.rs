//! What the integration tests share: a fake upstream, and the program itself as a child process.

pub mod admin;
pub mod callgrind;
pub mod cases;
pub mod clock;
pub mod demo;
pub mod forge;
pub mod gate;
pub mod jwcrypto;
pub mod jwt;
pub mod lane;
pub mod load;
pub mod openssl;
pub mod postgres;
pub mod program;
pub mod raw;
pub mod redis;
pub mod tally;
pub mod tls;
pub mod upstream;
pub mod wire;
