"""Makes ``twistd faktory`` known. It names the module by string, so that ``twistd --help`` imports nothing of it."""

from twisted.application.service import ServiceMaker

faktory = ServiceMaker(
    "Faktory background job server",
    "faktory_tw.tap",
    "A background job server that speaks the Faktory work protocol.",
    "faktory",
)
