"""What connects gaffer to other libraries: each module needs an extra of the same name.

Built on the public API only, and imported by nothing in gaffer.
"""
