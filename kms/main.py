"""`uvicorn kms.main:app`: the key service. Its code is in `api/`."""

from api.kms_service import service
from streams.settings import Settings

app = service(Settings.load())
