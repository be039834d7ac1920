"""Tables of one's own: open, look, split, and make features and targets of them.

>>> import numpy as np
>>> from handgrad.tables import Columns, Preprocessor, TargetCoder, split, summarise
>>> size = np.arange(40.0)
>>> columns = Columns({"size": size, "kind": np.where(size % 3 > 0, "a", "b"), "big": size > 20})
>>> found = summarise(columns, "big")
>>> found.target.classes, found.target.counts
(('False', 'True'), (21, 19))
>>> coder = TargetCoder.fit(columns, found)
>>> rows = split(coder.encode(columns), seed=0)
>>> [len(each) for each in (rows.train, rows.val, rows.test)]
[28, 6, 6]
>>> preprocessor = Preprocessor.fit(columns.take(rows.train), found)
>>> preprocessor.feature_names
('size', 'kind = a', 'kind = b')
>>> preprocessor.transform(columns).shape
(40, 3)
"""

from handgrad.tables.columns import Columns
from handgrad.tables.looking import FEWEST_ROWS, summarise
from handgrad.tables.opening import FORMATS, open_table
from handgrad.tables.preprocessing import Preprocessor
from handgrad.tables.splitting import Split, split, time_values
from handgrad.tables.summary import ColumnSummary, Leak, TableSummary, TargetSummary
from handgrad.tables.table import Table
from handgrad.tables.targets import TargetCoder

__all__ = [
    "FEWEST_ROWS",
    "FORMATS",
    "ColumnSummary",
    "Columns",
    "Leak",
    "Preprocessor",
    "Split",
    "Table",
    "TableSummary",
    "TargetCoder",
    "TargetSummary",
    "open_table",
    "split",
    "summarise",
    "time_values",
]
