"""Read the frames of series by gRPC and nothing but the contracts: `read_series.py 127.0.0.1:50059 PATIENT_ID`."""

import sys

import grpc

from imaging.storage.v1 import storage_service_pb2 as messages
from imaging.storage.v1.storage_service_pb2_grpc import StorageServiceStub

address, patient_id = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    storage = StorageServiceStub(channel)
    key = messages.MatchKey(keyword="PatientID", value=patient_id)
    for series in storage.SearchSeries(messages.SearchSeriesRequest(keys=[key]), timeout=30).series:
        print(series.modality, series.series_description, f"{series.frame_count} frames")
        decoded = ["1.2.840.10008.1.2.1"]  # Explicit VR Little Endian: storage decodes what is compressed
        asked = messages.RetrieveFramesRequest(series=series.name, accept_transfer_syntax_uids=decoded)
        for part in storage.RetrieveFrames(asked, timeout=300):
            if part.HasField("header"):
                print(f"  {part.header.columns} x {part.header.rows}, {part.header.size_bytes} bytes")
